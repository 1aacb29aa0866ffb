"""Amounts as people and spreadsheets write them, read exactly or not at all.

``1.234`` is a thousand and more in Berlin and one and a bit in London. With the file's locale there
is no doubt; without one an amount is read only where it can mean a single number.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

from airflow_provider_liftos.model.errors import ConfigurationError

_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u061c\u2066\u2067\u2068\u2069\ufeff"))
_MINUS = str.maketrans({"\u2212": "-", "\u2012": "-", "\u2013": "-", "\ufe63": "-", "\uff0d": "-"})
_SPACES = " \u00a0\u2009\u202f"
_QUOTES = "'\u2019"
_BODY = re.compile(rf"[\d](?:[\d.,\u066b\u066c{_QUOTES}{_SPACES}]*\d)?")
_GROUPED = re.compile(r"\d{1,3}(?:([^\d])\d{3})(?:\1\d{3})*")
_ARABIC_DECIMAL, _ARABIC_GROUP = "\u066b", "\u066c"


def parse_amount(text: str, *, currency: str = "", locale: str = "") -> Decimal:
    """The number that a formatted amount stands for.

    ``currency`` is the ISO 4217 code it must be in, if known: a sign of another one is refused, and
    of JPY it is known that a lone separator cannot begin decimals. ``locale`` is the file's, such
    as ``pt_BR``. Minus signs and accounting parentheses make it negative; digits may be of any
    script.

    Raises:
        ConfigurationError: it is no amount, it is of another currency, or it can be read in two
            ways; the message says which, and what to do.
    """
    plain = _plain(text)
    found = list(_BODY.finditer(plain))
    if len(found) != 1:
        raise _refused(text, "it is not one number")
    body = found[0]
    around = (plain[: body.start()], plain[body.end() :])
    negative, sign = _sign(text, *around)
    _check_sign(text, sign, currency, locale)
    number = body[0].strip()
    value = _localized(text, number, locale) if locale else _evident(text, number, currency)
    return -value if negative else value


def _plain(text: str) -> str:
    """Without direction marks, with the usual minus and the usual digits."""
    shown = text.translate(_MARKS).translate(_MINUS).strip()
    return "".join(
        str(unicodedata.decimal(char)) if unicodedata.category(char) == "Nd" else char
        for char in shown
    )


def _sign(text: str, before: str, after: str) -> tuple[bool, str]:
    """Whether the amount is negative, and what stands around it besides."""
    both = before + after
    negative = "-" in both or ("(" in before and ")" in after)
    if both.count("-") + both.count("+") > 1 or ("(" in both) != (")" in both):
        raise _refused(text, "its sign is not clear")
    return negative, re.sub(rf"[-+()\s{_SPACES}]", "", both)


def _check_sign(text: str, sign: str, currency: str, locale: str) -> None:
    """What stands beside the number must be the currency's code or one of its signs."""
    if not sign:
        return
    from babel.numbers import get_currency_symbol, is_currency

    code = sign.upper()
    if currency:
        known = {currency.upper()}
        known |= {get_currency_symbol(currency, at) for at in ("en", locale) if at}
        known |= {_plain(name).replace("\u00a0", "") for name in known} | _SIGNS.get(
            currency, set()
        )
        if sign in known or code in known:
            return
        raise _refused(text, f"{sign!r} is no sign of {currency}")
    if is_currency(code) or any(unicodedata.category(char) == "Sc" for char in sign):
        return
    raise _refused(text, f"{sign!r} beside the number is no currency")


_SIGNS = {
    "BRL": {"R$"},
    "CHF": {"Fr.", "SFr."},
    "CNY": {"\u00a5", "\uffe5", "\u5143"},
    "JPY": {"\u00a5", "\uffe5", "\u5186"},
    "KWD": {"KD", "K.D.", "\u062f.\u0643.", "\u062f.\u0643"},
    "USD": {"$", "US$"},
}
"""Signs in use that babel does not list for English or the file's own locale."""


def _localized(text: str, number: str, locale: str) -> Decimal:
    from babel import Locale, UnknownLocaleError
    from babel.numbers import NumberFormatError, get_decimal_symbol, get_group_symbol, parse_decimal

    try:
        known = Locale.parse(locale, sep="-" if "-" in locale else "_")
    except (UnknownLocaleError, ValueError):
        raise ConfigurationError(
            f"there is no locale {locale!r}", hint="Write it as de_DE or pt_BR."
        ) from None
    point, group = get_decimal_symbol(known), get_group_symbol(known)
    number = number.replace(_ARABIC_DECIMAL, point).replace(_ARABIC_GROUP, group)
    for alike in (_QUOTES, _SPACES):
        if group in alike:
            number = re.sub(f"[{alike}]", group, number)
    try:
        return parse_decimal(number, locale=known, strict=True)
    except NumberFormatError:
        raise _refused(text, f"it is not written as in {locale}") from None


def _evident(text: str, number: str, currency: str) -> Decimal:
    """Its value where only one reading is possible: by two kinds of separators, by their count."""
    if _ARABIC_DECIMAL in number or _ARABIC_GROUP in number:  # these two mean one thing only
        return _localized(text, number, "en")
    number = re.sub(f"[{_SPACES}{_QUOTES}]", " ", number)
    kinds = list(dict.fromkeys(char for char in number if not char.isdigit()))
    if not kinds:
        return Decimal(number)
    last = kinds[-1]
    whole, point, decimals = number.rpartition(last)
    if len(kinds) > 2 or (len(kinds) == 2 and (last == " " or number.count(last) > 1)):
        raise _refused(text, "its separators are mixed up")
    if len(kinds) == 1:
        grouped = _GROUPED.fullmatch(number)
        if last == " " or number.count(last) > 1:
            if not grouped:
                raise _refused(text, "its separators are not between thousands")
            return Decimal(number.replace(last, ""))
        if grouped and not number.startswith("0"):
            return _thousands_or_decimals(text, number.replace(last, ""), currency)
    if len(kinds) == 2 and not _GROUPED.fullmatch(whole):
        raise _refused(text, "its separators are not between thousands")
    return Decimal(re.sub(r"\D", "", whole) + (point and ".") + decimals)


def _thousands_or_decimals(text: str, digits: str, currency: str) -> Decimal:
    from babel.numbers import get_currency_precision

    if currency and get_currency_precision(currency) == 0:
        return Decimal(digits)
    raise _refused(
        text,
        "it can be read in two ways: its separator may stand before thousands or before decimals",
    )


def _refused(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{text!r} is not an amount that can be read for sure: {why}",
        hint="Name the file's locale, such as de_DE, or correct the value. Nothing was guessed.",
    )
