"""A FastAPI app whose requests and answers are pydantic models.

    threadserve examples.fastapi_model:app
    curl http://127.0.0.1:8000/orders -H 'content-type: application/json' \
        -d '{"customer": "Ada", "lines": [{"product": "lamp", "price": 20.5, "quantity": 2}]}'

The interactive documentation is at http://127.0.0.1:8000/docs.
"""

from fastapi import FastAPI
from pydantic import BaseModel, Field


class Line(BaseModel):
    """One product of an order; the price is for a single piece."""

    product: str = Field(min_length=1)
    price: float = Field(gt=0)
    quantity: int = Field(default=1, ge=1)


class Order(BaseModel):
    """What a customer sends."""

    customer: str
    lines: list[Line] = Field(min_length=1)


class Receipt(BaseModel):
    """What the customer gets back."""

    customer: str
    pieces: int
    total: float


app = FastAPI(title="Orders")


@app.post("/orders")
async def place_order(order: Order) -> Receipt:
    """Adds up an order; one that does not fit the model is answered with 422."""
    return Receipt(
        customer=order.customer,
        pieces=sum(line.quantity for line in order.lines),
        total=round(sum(line.price * line.quantity for line in order.lines), 2),
    )
