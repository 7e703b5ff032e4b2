"""The backend contract as tests: one module for each topic, one class for each kind of promise.

A backend runs all of them. `spec/backend-contract.md` says how, and what the promises are.
"""
