"""How long it takes to find the words of a typed prompt and their columns, beside the tokenizer's own time."""

import itertools

import bench

TAGS = [
    "1girl", "solo", r"hatsune miku \(cosplay\)", "(blue eyes:1.2)", "long hair", "score_8_up", "t-shirt", "masterpiece",
    "night sky", "(red dress, smile:1.1)", ":d", "best quality", r"tracer_\(overwatch\)", "looking at viewer", "8k uhd",
]  # fmt: skip


def measure(quick: bool) -> list[bench.Row]:
    from hrv_pack.host.facts.text_encoder import tokens_of
    from hrv_pack.host.text.clip_trace import TextRegistry

    tags = ", ".join(f"{tag}{n}" for n, tag in zip(range(150), itertools.cycle(TAGS)))
    kana = "美しい夕焼けの空の下で、赤い髪の少女が笑っている。背景には雪をかぶった山々と古い城が見える、"
    texts = {
        "150 tags": (tags, 5.0),
        "10 000 characters": ((f"a very long prompt with {tags} " * 5)[:10_000], 50.0),
        "the same word 2000 times": ("very " * 2000, 50.0),
        "3000 characters of Japanese": ((kana * 70)[:3000], None),
    }
    rows = []
    for name, (text, target) in texts.items():
        tokens = {"l": tokens_of(text)}

        def read(text=text, tokens=tokens):
            from hrv_pack.hrv.prompt import typed_text

            typed_text.parse.cache_clear()
            registry = TextRegistry()
            registry.note_text(text, tokens, lambda _: tokens)
            registry.prompt(tokens).entries()

        times = 3 if quick else 15
        tokenizer = bench.median_ms(lambda text=text: tokens_of(text), times)
        value = bench.median_ms(read, times)
        note = f"words, tags and columns; the tokenizer itself takes {tokenizer:.1f} ms"
        rows.append(bench.Row(name, value, "ms", target, note=note))
    return rows
