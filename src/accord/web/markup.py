"""Markdown that anybody may have written, as HTML that can do nothing but be read.

Three walls, each enough alone: the parser takes HTML for text and makes links to http(s) and mailto addresses only; an
allow-list passes over what it made (nh3); and the pages' Content-Security-Policy runs no script that is not ours.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

from accord.report.words import visible

#: Longer texts are shown as they are: reading their Markdown would keep the server busy for seconds.
LONGEST = 100_000
#: Headings stand below the page's own; the rest is how HTML spells it today.
TAGS = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "s": "del"}
ALLOWED = {
    *("p", "h3", "h4", "h5", "h6", "hr", "br", "blockquote", "pre", "code", "em", "strong", "del", "a"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href"}, "code": {"class"}, "ol": {"start"}}
#: What the value of each attribute must look like. "http:x" without slashes would be an address on this server.
VALUES = {
    "href": re.compile(r"(?:https?://|mailto:)[^\s]+", re.IGNORECASE),
    "class": re.compile(r"language-[A-Za-z0-9_+#.-]{1,40}"),
    "start": re.compile(r"[0-9]{1,9}"),
    "target": re.compile("_blank"),
    "rel": re.compile("noopener noreferrer nofollow"),
}


def rendered(text: str) -> str:
    """Markdown (CommonMark with tables and ~~strikethrough~~) as safe HTML.

    HTML in it is shown as the text that it is, and so are links and images that lead anywhere but to the web or a
    mailbox. An image becomes "[image: its alternative text]" and is never asked for. A link opens elsewhere and does
    not tell where it was clicked. No element has an id, a style, or a class but a program's language; headings begin at
    h3. Controls and bidi overrides are named, as in reports (`report.words.visible`), also where they were written as
    entities. Texts of more than 100,000 characters are shown as they are.
    """
    text = visible(text)
    if len(text) > LONGEST:
        return f"<pre>{escape(text, quote=False)}</pre>\n"
    env: dict[str, Any] = {}
    tokens = MARKDOWN.parse(text, env)
    for token in tokens:
        for one in (token, *(token.children or ())):
            one.tag = TAGS.get(one.tag, one.tag)
    return visible(CLEANER.clean(MARKDOWN.renderer.render(tokens, MARKDOWN.options, env)))


class _Markdown(MarkdownIt):
    """Markdown whose links lead to the web or to a mailbox; what is no such link stays the text that it is."""

    def validateLink(self, url: str) -> bool:
        return VALUES["href"].fullmatch(url) is not None


def _image(self: RendererProtocol, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    words = " ".join(_words(tokens[index].children or ()).split())
    return escape(f"[image: {words}]" if words else "[image]")


def _words(tokens: Sequence[Token]) -> str:
    return "".join(_words(one.children) if one.children else one.content or " " for one in tokens)


def _attribute(tag: str, name: str, value: str) -> str | None:
    return value if name in VALUES and VALUES[name].fullmatch(value) else None


MARKDOWN = _Markdown("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
MARKDOWN.add_render_rule("image", _image)
CLEANER = nh3.Cleaner(
    tags=ALLOWED,
    attributes=ATTRIBUTES,
    attribute_filter=_attribute,
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)
