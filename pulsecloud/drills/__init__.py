"""Drills: what the life cycle and the roles of organisations promise, tried on the live system.

`record` runs them and writes down what they showed; `lifecycle` and `rbac` hold one drill per
method (hosted-contract section 27). Each drill has canaries of its own, made through the public
doors, so that a broken promise spoils no other drill.
"""
