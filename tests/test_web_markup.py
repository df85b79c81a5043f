"""Markdown as safe HTML: what it looks like, and that nothing gets through that does more than be read."""

import re
import threading
import time
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from accord.web.markup import rendered

TAGS = {"p", "h3", "h4", "h5", "h6", "hr", "br", "blockquote", "pre", "code", "em", "strong", "del", "a"}
TAGS |= {"ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"}
VOID = {"hr", "br"}


class Reader(HTMLParser):
    """What a browser would make of it: the tags with their attributes, the words; and whether all is closed in turn."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self.open, self.others = [], "", [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data

    def handle_comment(self, data):
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(text):
    """The page of a text, after looking at all that it might do."""
    page = rendered(text)
    reader = Reader(page)
    assert reader.open == []
    assert reader.others == []
    for tag, attributes in reader.tags:
        assert tag in TAGS
        allowed = {"a": {"href", "rel", "target"}, "code": {"class"}, "ol": {"start"}}.get(tag, set())
        assert set(attributes) <= allowed
        if tag == "a":
            assert re.match(r"(?i)(https?://|mailto:)", attributes["href"])
            assert (attributes["rel"], attributes["target"]) == ("noopener noreferrer nofollow", "_blank")
        assert re.fullmatch(r"language-[\w+#.-]+", attributes.get("class", "language-x"))
        assert attributes.get("start", "1").isdigit()
    for tag in re.findall(r"<[^>]*>", page):  # and again without a parser, which might be fooled
        assert not re.search(r"(?i)<script|<svg|<img|\son\w+\s*=|javascript:|data:|src=|style=|\sid=", tag)
    assert page.count("<") == len(re.findall(r"</?[a-z][a-z0-9]*(?: [a-z]+=\"[^\"<>]*\")*>", page))
    return reader


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("", ""),
        ("Plain & simple", "<p>Plain &amp; simple</p>\n"),
        ("*a* **b** ~~c~~ `d`", "<p><em>a</em> <strong>b</strong> <del>c</del> <code>d</code></p>\n"),
        ("# a\n## b\n### c\n#### d\n##### e\n###### f", "<h3>a</h3>\n<h4>b</h4>\n<h5>c</h5>\n" + "".join(
            f"<h6>{c}</h6>\n" for c in "def")),
        ("a\n=", "<h3>a</h3>\n"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("5. a\n6. b", '<ol start="5">\n<li>a</li>\n<li>b</li>\n</ol>\n'),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>\n"),
        ("```python\na < b\n```", '<pre><code class="language-python">a &lt; b\n</code></pre>\n'),
        ("```c++ more\nx\n```", '<pre><code class="language-c++">x\n</code></pre>\n'),
        ('```"onload=1\nx\n```', "<pre><code>x\n</code></pre>\n"),
        ("    code", "<pre><code>code\n</code></pre>\n"),
        ("a  \nb\\\nc", "<p>a<br>\nb<br>\nc</p>\n"),
        ("a\n\n---", "<p>a</p>\n<hr>\n"),
        ("|a|b|\n|:-|-:|\n|c|d|", "<table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n"
                                  "<td>c</td>\n<td>d</td>\n</tr>\n</tbody>\n</table>\n"),
        ("[a](https://b.c/d?e=f&g)", '<p><a href="https://b.c/d?e=f&amp;g" target="_blank" '
                                     'rel="noopener noreferrer nofollow">a</a></p>\n'),
        ("https://b.c and b.c", "<p>https://b.c and b.c</p>\n"),
    ],
)  # fmt: skip
def test_what_markdown_becomes(text, page):
    assert rendered(text) == page
    read(text)


@pytest.mark.parametrize("address", ["https://b.c", "HTTP://b.c", "mailto:a@b.c"])
def test_links_to_the_web_and_to_mailboxes(address):
    for text in (f"[a]({address})", f"<{address}>", f"[a][r]\n\n[r]: {address}", f'[a](<{address}> "a title")'):
        assert [tag for tag, _ in read(text).tags].count("a") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("![a cat](https://b.c/d.png)", "[image: a cat]"),
        ("![a *fat* `cat`\non a mat](https://b.c/d.png)", "[image: a fat cat on a mat]"),
        ("![a](b.png)", "![a](b.png)"),
        ("![a ![b](https://c.d)](https://d.e)", "[image: a b]"),
        ("![](https://b.c/d.png)", "[image]"),
        ("![a][r]\n\n[r]: https://b.c", "[image: a]"),
        ('![<img src=x onerror="1">](https://b.c)', '[image: <img src=x onerror="1">]'),
        ("[![a](https://b.c/d.png)](https://e.f)", "[image: a]"),
        ("![a](javascript:1)", "![a](javascript:1)"),
    ],
)
def test_images_become_words(text, words):
    assert read(text).words.strip() == words


#: OWASP's XSS Filter Evasion Cheat Sheet, CommonMark's and markdown-it's own cases, and cousins of them.
ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://b.c/xss.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script\x00>alert(1)</script>",
    "<<SCRIPT>alert(1);//\\<</SCRIPT>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<IMG """><SCRIPT>alert(1)</SCRIPT>"\\>',
    "<img src=`javascript:alert(1)`>",
    "<img/src/onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<a onmouseover=alert(1)>x</a>",
    "<a href='javascript:alert(1)'>x</a>",
    "<svg onload=alert(1)>",
    "<svg><script>alert&#40;1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data='data:text/html;base64,PHNjcmlwdD4='></object>",
    "<embed src='//b.c/x.swf'>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href='https://b.c/'>",
    "<link rel=stylesheet href='https://b.c/x.css'>",
    "<style>@import 'https://b.c/x.css';</style>",
    "<p style='background:url(javascript:alert(1))'>x</p>",
    "<div style=position:fixed;inset:0>x</div>",
    "<form action='https://b.c'><input name=password><button>x",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--<img src='--><img src=x onerror=alert(1)//'>",
    "<!-- a --> b",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php echo 1 ?>",
    "<!DOCTYPE html>",
    "<p id=vote class=card name=x>x</p>",
    "<b>unclosed <i>tags",
    "<a href='https://b.c",
    "</p></div></body></html>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x]( javascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](<java&#10;script:alert(1)>)",
    "[x](&#106;&#97;&#118;&#97;script:alert(1))",
    "[x](&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](&Tab;javascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](\\javascript:alert(1))",
    "[x](javascript://b.c/%0Aalert(1))",
    "[x](javascript:alert`1`)",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](data:image/svg+xml,<svg onload=alert(1)>)",
    "[x](file:///etc/passwd)",
    "[x](blob:https://b.c/1)",
    "[x](//b.c)",
    "[x](/logout)",
    "[x](http:logout)",
    "[x](https:/logout)",
    "[x](?campaign=1)",
    "[x](#vote)",
    "[x](ftp://b.c)",
    '[x](https://b.c "title" onmouseover="alert(1))")',
    "[x](https://b.c/\"onmouseover=\"alert(1))",
    "[x](https://b.c/'><script>alert(1)</script>)",
    "[x](<https://b.c/><script>alert(1)</script>>)",
    '[x](https://b.c "&quot; onmouseover=&quot;alert(1)")',
    "[a\"onmouseover=alert(1)//](https://b.c)",
    "[x][r]\n\n[r]: javascript:alert(1)",
    "[x][r]\n\n[r]: https://b.c '\" onmouseover=\"alert(1)'",
    "[r]\n\n[r]: <javascript:alert(1)> 'x'",
    "![x](javascript:alert(1))",
    "![x](data:text/html,<script>alert(1)</script>)",
    "![x\" onerror=\"alert(1)](https://b.c/d.png)",
    "![x](https://b.c/d.png\"onerror=\"alert(1))",
    "![x](https://b.c/d.png 'x\" onerror=\"alert(1)')",
    "[![x](javascript:alert(1))](javascript:alert(2))",
    "[![x](https://b.c/\" onerror=alert(1))](https://d.e)",
    "<javascript:alert(1)>",
    "<JAVASCRIPT:alert(1)>",
    "<data:text/html,x>",
    "<https://b.c/\"onmouseover=alert(1)>",
    "<a@b.c\"onmouseover=alert(1)>",
    "```\"><script>alert(1)</script>\nx\n```",
    "```x\" onmouseover=\"alert(1)\nx\n```",
    "```&quot; style=&quot;position:fixed\nx\n```",
    "```hljs vote-button\nx\n```",
    "`<script>alert(1)</script>`",
    "``` <script>alert(1)</script>",
    "# <img src=x onerror=alert(1)> {#vote .card onclick=x}",
    "|<script>|\n|-|\n|<img src=x onerror=alert(1)>|",
    "| a |\n|:-:|\n| <td style=position:fixed> |",
    "> <script>alert(1)</script>",
    "- <img src=x onerror=alert(1)>",
    "999999999. <script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "&amp;lt;script&amp;gt;",
    "\\<script>alert(1)\\</script>",
    "<scr\u202eipt>alert(1)</script>",
    "\ufeff<script>alert(1)</script>",
    "<ſcript>alert(1)</ſcript>",
    "<a href=\"java&#x09;script:alert(1)\">x</a>",
    "*<script>*alert(1)*</script>*",
    "<xss style='behavior:url(x.htc)'>",
    "{{constructor.constructor('alert(1)')()}}",
]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_gets_through(text):
    read(text)
    read(f"{text}\n\n{text}")
    read(f"**{text}**\n> {text}\n\n1. {text}")
    read("```\n" + text)


def test_all_attacks_at_once():
    read("\n\n".join(ATTACKS))
    read(" ".join(ATTACKS))


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "<b>x</b>", "a <!-- b --> c", "</p>", "<svg/onload=x>"])
def test_html_is_shown_as_the_text_that_it_is(text):
    assert read(text).words.strip() == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a&#x202E;b", "a⟨U+202E⟩b"),
        ("a\u2066b\u2069c", "a⟨U+2066⟩b⟨U+2069⟩c"),
        ("a\x00b\x07c\x1b[0m", "a⟨U+0000⟩b⟨U+0007⟩c⟨U+001B⟩[0m"),
        ("a&#7;b&#x9b;c", "a\ufffdb\ufffdc"),
        ("a&#8294;b", "a⟨U+2066⟩b"),
        ("`a\u202eb`", "a⟨U+202E⟩b"),
        ("```\na\u202eb\n```", "a⟨U+202E⟩b"),
        ("![a\u202eb](https://c.d)", "[image: a⟨U+202E⟩b]"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\r\nb", "a\nb"),
        ("emoji 👩‍👩‍👧 and العربية", "emoji 👩‍👩‍👧 and العربية"),
    ],
)
def test_what_cannot_be_seen_is_named(text, words):
    assert read(text).words.strip() == words


def test_no_control_in_an_address():
    (link,) = (attributes for tag, attributes in read("[a](https://b.c/\u202egnp.exe)").tags if tag == "a")
    assert link["href"] == "https://b.c/%E2%9F%A8U+202E%E2%9F%A9gnp.exe"
    for _, attributes in read("[a](https://b.c/&#x202E;gnp.exe)").tags:
        assert "\u202e" not in attributes.get("href", "")


def test_a_text_that_is_too_long_is_shown_as_it_is():
    text = "**a** <b>\n" * 10_001
    reader = read(text)
    assert [tag for tag, _ in reader.tags] == ["pre"]
    assert reader.words == text + "\n"


@pytest.mark.parametrize(
    "part", ["[", "![", "[a](", "**a ", "*a _b ", "a\n", "> ", "`a", "<a ", "&#", "|a", "- a\n", "~~a"]
)
def test_hostile_texts_end_soon(part):
    start = time.process_time()
    read(part * (20_000 // len(part)))
    assert time.process_time() - start < 10


def test_other_threads_may_render():
    pages = []
    threads = [threading.Thread(target=lambda: pages.append(rendered("[a](https://b.c)"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pages == [rendered("[a](https://b.c)")] * 4


PIECES = [
    *"<>[]()!*_~`|#&;:\"'=/\\-+.\n\t \r\x00\u202e\ud83d",
    *("a", "1", "```", "https://b.c", "javascript:", "&#106;", "&Tab;", "data:", "<script>", "<img src=x onerror=1>"),
    *("\n\n", "    ", "|-|", "[r]: ", "style=x ", "onclick=x ", "<!--", "-->"),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text(max_size=200))
@example("<" * 50)
def test_any_text_becomes_harmless_html(text):
    read(text)
