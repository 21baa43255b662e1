"""Ariadne."""

# mypy: ignore-errors
import hashlib

from ariadne import MutationType, QueryType, SubscriptionType, make_executable_schema, upload_scalar
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler
from wrappers.endless import numbers

type_defs = """
    scalar Upload
    type Query { hello(name: String!): String! }
    type Mutation { upload(file: Upload!): String! }
    type Subscription { count: Int! }
"""
query, mutation, subscription = QueryType(), MutationType(), SubscriptionType()


@query.field("hello")
async def hello(*_, name):
    return name


@mutation.field("upload")
async def upload(*_, file):
    return hashlib.sha256(await file.read()).hexdigest()


@subscription.source("count")
def generate(*_):
    return numbers()


@subscription.field("count")
def resolve(number, *_):
    return number


schema = make_executable_schema(type_defs, query, mutation, subscription, upload_scalar)
app = GraphQL(schema, websocket_handler=GraphQLTransportWSHandler())
