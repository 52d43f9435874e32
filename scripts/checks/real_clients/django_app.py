"""A Django site that answers no other host than app.test: `django_app.py FOLDER PORT`, where FOLDER
holds the package."""

import sys

sys.path.insert(0, sys.argv[1])

from django.conf import settings  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


def page(request):
    return HttpResponse(request.get_host() + "\n")


urlpatterns = [path("health", page), path("page", page)]
settings.configure(
    ALLOWED_HOSTS=["app.test"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of this check",
)
command = ["runserver", "--noreload", "--skip-checks", f"127.0.0.1:{sys.argv[2]}"]
execute_from_command_line([sys.argv[0], *command])
