"""What the settings may say about topics: the tables ``[[route]]``. Frozen values."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.errors import Misconfigured


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Channel(Section):
    """What one number or word of a message is, where the message does not say it, or says it wrong.

    The value becomes ``value * scale + offset``, in ``unit``.
    """

    name: str = ""  # of the channel; "": as it would be called
    unit: str = ""  # as sent, in any known spelling; "": as the message or the key says
    scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    offset: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    ignore: bool = False  # it is no measurement

    @model_validator(mode="after")
    def _keeps_the_value(self) -> Self:
        if self.scale == 0:
            raise Misconfigured("route.channels.scale", "a factor other than 0", "0")
        return self


class Route(Section):
    """Topics that name site, class and device by their parts: ``plant/{site}/{device}/+``."""

    topic: Annotated[str, Field(min_length=1)]
    format: str = ""  # by its name; "": as it is recognised
    device: str = ""  # what the device is called, made of the topic's parts: "{line}-{cell}"
    device_must_match: bool = False  # a payload that names another {device} is a dead letter
    select: str = ""  # JMESPath: what of a JSON message is read
    channels: dict[str, Channel] = {}  # by the path or the name in the message

    @model_validator(mode="after")
    def _named(self) -> Self:
        named = "{device}" in self.topic or self.device
        if self.device_must_match and not named:
            raise Misconfigured(
                "route.topic",
                "{device} in it, for device_must_match is true",
                self.topic,
                "name the level of the device, or take device_must_match away",
            )
        if self.select and self.format not in ("", "json"):
            raise Misconfigured(
                "route.select", 'format = "json", which it is for', repr(self.format)
            )
        return self
