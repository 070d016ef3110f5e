"""A Django project with nothing but users: told what to do by lines of JSON, does it with Django's own means.

    python django_users.py sqlite /path/db.sqlite3
    python django_users.py postgres /directory/of/the/socket
"""
import json
import os
import sys

import django
from django.conf import settings

engine, where = sys.argv[1:3]
database = {"ENGINE": "django.db.backends.sqlite3", "NAME": where} if engine == "sqlite" else {
    "ENGINE": "django.db.backends.postgresql", "NAME": "app", "USER": "app", "HOST": where}
HASHERS = {
    "pbkdf2_sha256": "PBKDF2PasswordHasher",
    "pbkdf2_sha1": "PBKDF2SHA1PasswordHasher",
    "argon2": "Argon2PasswordHasher",
    "bcrypt_sha256": "BCryptSHA256PasswordHasher",
    "bcrypt": "BCryptPasswordHasher",
    "scrypt": "ScryptPasswordHasher",
}
settings.configure(
    DATABASES={"default": database},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers." + name for name in HASHERS.values()],
)
django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402


def migrate():
    call_command("migrate", verbosity=0)
    return {}


def superuser(username, password):
    os.environ["DJANGO_SUPERUSER_PASSWORD"] = password
    call_command("createsuperuser", "--noinput", username=username, email="a@b.example", verbosity=0)
    return {"id": User.objects.get(username=username).pk}


def create(username, password, hasher="pbkdf2_sha256", active=True):
    user = User.objects.create(
        username=username,
        password=make_password(password, hasher=hasher),
        is_active=active)
    return {"id": user.pk, "stored": user.password.split("$")[0]}


def set_password(username, password):
    user = User.objects.get(username=username)
    user.set_password(password)
    user.save()
    return {}


def set_active(username, active):
    User.objects.filter(username=username).update(is_active=active)
    return {}


def delete(username):
    User.objects.get(username=username).delete()
    return {}


def stored(username):
    return {"password": User.objects.get(username=username).password}


DO = {one.__name__: one for one in (migrate, superuser, create, set_password, set_active, delete, stored)}
for line in sys.stdin:
    order = json.loads(line)
    print(json.dumps(DO[order.pop("do")](**order)), flush=True)
    connection.close()
