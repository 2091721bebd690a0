"""Seconds that were measured at one speed of the machine, expressed at another."""

from __future__ import annotations

from qprobe.documents.profile import Measurement, Profile, Rest


def at_speed(profile: Profile, yardstick_s: float) -> Profile:
    """The profile as it is when the machine's yardstick takes `yardstick_s`."""
    factor = yardstick_s / profile.yardstick_s
    return profile.model_copy(
        update={
            "yardstick_s": yardstick_s,
            "measurements": tuple(scale_measurement(m, factor) for m in profile.measurements),
            "rest": tuple(scale_rest(rest, factor) for rest in profile.rest),
        }
    )


def scale_measurement(measurement: Measurement, factor: float) -> Measurement:
    """The measurement with all seconds multiplied."""
    shared = measurement.shared_input_s
    return measurement.model_copy(
        update={
            "median_s": measurement.median_s * factor,
            "p20_s": measurement.p20_s * factor,
            "p80_s": measurement.p80_s * factor,
            "shared_input_s": None if shared is None else shared * factor,
        }
    )


def scale_rest(rest: Rest, factor: float) -> Rest:
    """The rest with all seconds multiplied."""
    return rest.model_copy(
        update={
            "prefill_s": rest.prefill_s * factor,
            "decode_s_per_token": rest.decode_s_per_token * factor,
        }
    )
