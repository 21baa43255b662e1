"""The pages' views."""

from flask import current_app

from pages import site


@site.get("/same")
def same() -> dict[str, object]:
    from main import instance

    from pages import views

    return {"instance": instance, "site": current_app._get_current_object() is site, "view": views.same is same}
