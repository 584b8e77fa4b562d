"""Accounts and groups, in the admin's look; nobody raises their own rights here."""

from __future__ import annotations

from typing import Any

from allauth.account.admin import EmailAddressAdmin
from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from chat.admin.history import Deleted, deleted_with_history
from chat.models import Message, User

RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


class AccountCreationForm(UserCreationForm):  # type: ignore[misc]  # unfold has no types
    class Meta:
        model = User
        fields = ("username", "email")


class AccountChangeForm(UserChangeForm):  # type: ignore[misc]  # unfold has no types
    class Meta:
        model = User
        fields = "__all__"


@admin.register(User)
class AccountAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # unfold has no types
    form = AccountChangeForm
    add_form = AccountCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = (
        "username",
        "email",
        "language",
        "is_active",
        "is_staff",
        "is_superuser",
        "last_login",
        "date_joined",
    )
    list_filter = ("is_active", "is_staff", "is_superuser", "language", "date_joined")
    search_fields = ("username", "email", "first_name", "last_name", "=number")
    date_hierarchy = "date_joined"
    ordering = ("-date_joined", "-id")
    list_per_page = 50
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Personal info"), {"fields": ("first_name", "last_name", "email", "language", "number")}),
        (_("Permissions"), {"fields": ("is_active", *RIGHTS)}),
        (_("Important dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "password1", "password2")}),)
    readonly_fields = ("last_login", "date_joined")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[Any, ...]:
        """Staff who may edit accounts must not make anybody, themselves included, more than they are."""
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Deleting an account deletes its history too: for superusers alone."""
        return bool(request.user.is_superuser) and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deleted:
        return deleted_with_history(list(objs), Message.objects.filter(conversation__user__in=list(objs)))

    def _may_touch(self, request: HttpRequest, obj: Model | None) -> bool:
        """A new password for a superuser would be a superuser's account for whoever set it."""
        return request.user.is_superuser or not (isinstance(obj, User) and (obj.is_superuser or obj.is_staff))


# The admin's own sign-in form knows no limit of attempts; the accounts' page does.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]


class ForSuperusers(ModelAdmin):  # type: ignore[misc]  # unfold has no types
    """Others may at most look."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_superuser)


admin.site.unregister([Group, EmailAddress])


@admin.register(Group)
class RoleAdmin(ForSuperusers, GroupAdmin):
    """Who may edit a group could give its members any right."""


@admin.register(EmailAddress)
class AddressAdmin(ForSuperusers, EmailAddressAdmin):  # type: ignore[misc]
    """Who may edit addresses could have anybody's password reset by mail to their own."""

    list_select_related = ("user",)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return dict(super().get_actions(request)) if request.user.is_superuser else {}
