// What the pack's areas in nodes say, in the language of ComfyUI's page. Each text has a name; `{count}` and the like are filled in.
// js/languages has the translations.

export const TEXTS = {
  "previousImage": "Previous image",
  "nextImage": "Next image",
  "openImage": "Open image",
  "tiles.before": "Run the workflow to see the words here.",
  "tiles.all": "Show all {count}",
  "tiles.fewer": "Show the strongest {count}",
  "tiles.enlarge": "Click to enlarge",
  "tiles.back": "Back to all words",
  "tiles.stronger": "The next stronger word",
  "tiles.weaker": "The next weaker word",
  "tiles.idle": "can go",
  "tiles.part": "· {part} of {parts}",
  "tiles.noChange": "no change",
  "tiles.mostChange": "most",
  "tiles.low": "lowest",
  "tiles.high": "highest",
  "tiles.sharedScale": "How much attention a word gets, where it gets the most. One scale for all words: a word without colour was hardly looked at.",
  "tiles.ownScale": "Each word has its own scale, so colours of different words cannot be compared.",
  "tiles.effectScale": "How much each word changed the image, and where. One scale for all words.",
  "demo.things": "Things",
  "demo.colours": "Colours",
  "demo.patterns": "Patterns",
  "demo.sizes": "Sizes",
  "demo.places": "Places",
  "demo.hint": "The words that this small model knows. All others are the same unknown word to it.",
  "lens.stale": "The outputs are still those of the last run.",
  "lens.run": "Run to update the mask",
  "lens.meter": "how concentrated",
  "lens.meterHint": "The orange line below a word: empty if its attention is the same everywhere, full if all of it is within a tenth of the image.",
  "lens.pinFirst": "Pin a word first: click it.",
  "lens.maskFailed": "The mask could not be made ({reason}).",
  "lens.copied": "Mask copied: white where the pinned words are.",
  "lens.copyMask": "Copy mask",
  "lens.copyMaskHint": "Copies the mask of the pinned words as an image, for any paint program.",
  "lens.editMask": "Open in Mask Editor",
  "lens.editMaskHint": "Adds a Load Image node with this image and the mask of the pinned words, and opens it in ComfyUI's Mask Editor.",
  "lens.loading": "Still loading the recording …",
  "lens.gathered": "“{word}” gets up to {share} of the attention, almost all of it in one place.",
  "lens.partly": "“{word}” gets up to {share} of the attention, most of it in some places.",
  "lens.spread": "“{word}” gets up to {share} of the attention, spread over the image: it has no clear place.",
  "lens.pinned": "{count} pinned words",
  "lens.point": "Point at a word or at the image. Click to pin.",
  "report.before": "Run the workflow to see what became of your prompt.",
  "report.well": "As far as the attention shows, no word was ignored and no two things were mixed up.",
  "report.notJudged": "With this kind of model, the attention is shown but not judged.",
  "report.page": "Open as image",
  "report.pageHint": "The whole report on one page, with a heatmap for every word.",
  "report.why": "Why?",
  "report.words": "All words, the most looked at first",
  "report.wordsHint": "Attention in the tenth of the image where the word gets the most.",
  "report.wordsHintFiller": "Attention in the tenth of the image where the word gets the most. The line marks what filler words such as “the” get.",
  "report.remedy.weight": "Put {text} into the prompt",
  "report.remedy.first": "Put “{word}” first",
  "report.remedy.split": "Put a comma between “{word}” and “{other}”",
  "report.remedy.remove": "Remove {words}",
  "report.apply": "Changes your prompt. Ctrl+Z takes it back.",
  "report.copy": "Copies it: the text of your prompt is not in a field that this node can reach.",
  "report.done": "Done. Ctrl+Z takes it back.",
  "report.copied": "Copied: {text}",
  "report.type": "Type {text} into your prompt",
  "report.runAgain": "The prompt has changed. Run the workflow again to see what it does.",
};

const TRANSLATED = ["zh", "ja", "ko", "fr", "de", "es", "ru", "pt"];

/** The texts of a language as ComfyUI's setting names it, such as `pt-BR`; English where there are none. */
export async function textsOf(locale) {
  const language = String(locale ?? "en").split("-")[0];
  return TRANSLATED.includes(language) ? (await import(`../languages/${language}.js`)).default : TEXTS;
}

// the page has read its settings before it loads extensions
const own = await textsOf(globalThis.app?.extensionManager?.setting?.get?.("Comfy.Locale"));

/** The text of a name, with `values` filled in. */
export function say(name, values = {}) {
  return (own[name] ?? TEXTS[name]).replace(/\{(\w+)\}/g, (_, key) => values[key]);
}
