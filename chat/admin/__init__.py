"""The admin: review of conversations, and accounts. What was said and done is read here, never changed."""

from chat.admin import conversations, doctor, generations, messages, providers, users

__all__ = ["conversations", "doctor", "generations", "messages", "providers", "users"]
