"""Django's models, without Django's views."""

from django.db import models


class Order(models.Model):
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        app_label = "shop"


class Line(models.Model):
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    article = models.CharField(max_length=100)

    class Meta:
        app_label = "shop"
