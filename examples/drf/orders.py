"""A whole Django project in one file: GET /orders, protected by mintgate_auth.py, which `mintgate gen-config drf` prints."""
import os
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["mintgate_auth.MintgateAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["mintgate_auth.HasScope"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,  # no table of users here
    },
)
django.setup()

from rest_framework.decorators import api_view  # noqa: E402
from rest_framework.response import Response  # noqa: E402


@api_view(["GET"])
def orders(request):
    return Response({"subject": str(request.user), "orders": [{"id": 1, "item": "tea"}]})


urlpatterns = [path("orders", orders)]

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), get_wsgi_application()) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
