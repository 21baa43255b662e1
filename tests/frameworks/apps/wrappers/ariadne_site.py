"""Ariadne."""

# mypy: ignore-errors
import asyncio
import hashlib

from ariadne import MutationType, QueryType, SubscriptionType, make_executable_schema, upload_scalar
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler

type_defs = """
    scalar Upload
    type Query { hello(name: String!): String! boom: String! }
    type Mutation { upload(file: Upload!): String! }
    type Subscription { count(target: Int!): Int! }
"""
query, mutation, subscription = QueryType(), MutationType(), SubscriptionType()


@query.field("hello")
async def hello(*_, name):
    return name


@query.field("boom")
async def boom(*_):
    raise RuntimeError("the site has a mistake")


@mutation.field("upload")
async def upload(*_, file):
    return hashlib.sha256(await file.read()).hexdigest()


@subscription.source("count")
async def generate(*_, target):
    try:
        for number in range(target):
            yield number
            await asyncio.sleep(0.01)
    finally:
        print("the stream has ended", flush=True)


@subscription.field("count")
def resolve(number, info, target):
    return number


schema = make_executable_schema(type_defs, query, mutation, subscription, upload_scalar)
app = GraphQL(schema, websocket_handler=GraphQLTransportWSHandler())
