"""Customers: managers, the accounts below them, and who may see whom through whom.

``Northwind Holding`` manages every account, those with an odd number through a manager of its
own; ``Agency`` manages the first account too (one leaf, two managers) and one that was
cancelled; the second account is also open to the user directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_liftos.sandbox.dataset import Account, Dataset

from .errors import AdsError, denied, request_error

HOLDING, BRANCH, AGENCY, CLOSED = "1111111111", "2222222222", "3333333333", "5555555555"


@dataclass(frozen=True, slots=True, eq=False)
class Customer:
    """A manager or an account; ``account`` is what the dataset knows of it."""

    id: str
    name: str
    currency: str
    timezone: str
    manager: bool = False
    status: str = "ENABLED"
    account: Account | None = None

    @property
    def resource_name(self) -> str:
        """Return ``customers/{id}``."""
        return f"customers/{self.id}"


class Hierarchy:
    """All customers and the links between them."""

    def __init__(self, dataset: Dataset) -> None:
        leaves = [
            Customer(one.id, one.name, one.currency, one.timezone, account=one)
            for one in dataset.accounts
        ]
        closed = Customer(CLOSED, "Northwind (old)", "EUR", "Europe/Berlin", status="CANCELED")
        managers = [
            Customer(HOLDING, "Northwind Holding", "EUR", "Europe/Berlin", manager=True),
            Customer(BRANCH, "Northwind Überseeisch", "USD", "America/New_York", manager=True),
            Customer(AGENCY, "Agency & Söhne", "GBP", "Europe/London", manager=True),
        ]
        self._known = {one.id: one for one in (*managers, *leaves, closed)}
        self._children = {
            HOLDING: [managers[1], *leaves[0::2]],
            BRANCH: leaves[1::2],
            AGENCY: [leaves[0], closed],
        }
        self.roots = (HOLDING, AGENCY, leaves[1].id)

    def find(self, identity: str) -> Customer | None:
        """Return a customer by its ten digits."""
        return self._known.get(identity)

    def tree(self, root: Customer) -> Iterator[tuple[Customer, int]]:
        """Return a customer (level 0) and everything below it."""
        pending = [(root, 0)]
        while pending:
            customer, level = pending.pop(0)
            yield customer, level
            pending += ((child, level + 1) for child in self._children.get(customer.id, ()))

    def require(self, identity: str, login: str, roots: tuple[str, ...]) -> Customer:
        """Return the customer a call is about; raises AdsError if it may not be seen.

        ``login`` is the manager through which access is claimed (empty: none), ``roots`` the
        customers that the user has access to.
        """
        if not (identity.isascii() and identity.isdigit() and len(identity) == 10):
            raise request_error("INVALID_CUSTOMER_ID", f"Invalid customer ID '{identity}'.")
        if login and not (login.isascii() and login.isdigit() and len(login) == 10):
            raise AdsError(
                "header_error",
                "INVALID_LOGIN_CUSTOMER_ID",
                f"The login-customer-id header could not be validated: '{login}'.",
            )
        customer = self.find(identity)
        if customer is None or not self._allowed(customer, login, roots):
            raise denied(
                "USER_PERMISSION_DENIED",
                "User doesn't have permission to access customer. Note: If you're accessing a "
                "client customer, the manager's customer id must be set in the "
                "'login-customer-id' header.",
            )
        if customer.status != "ENABLED":
            raise denied(
                "CUSTOMER_NOT_ENABLED",
                "The customer account can't be accessed because it is not yet enabled or has been "
                "deactivated.",
            )
        return customer

    def _allowed(self, customer: Customer, login: str, roots: tuple[str, ...]) -> bool:
        if not login or login == customer.id:
            return customer.id in roots or (bool(login) and self._below(roots, customer))
        door = self.find(login)
        if door is None or not self._below(roots, door):
            return False
        return any(one is customer for one, _ in self.tree(door))

    def _below(self, roots: tuple[str, ...], wanted: Customer) -> bool:
        known = [self._known[root] for root in roots if root in self._known]
        return any(one is wanted for root in known for one, _ in self.tree(root))
