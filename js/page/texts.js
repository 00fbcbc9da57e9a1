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
  "tiles.asked": "not in the prompt",
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
  "fields.promptText": "only if CLIP doesn't come from {HRVRecordAttention}",
  "fields.alsoLookFor": "not in the prompt: tree, dog",
  "words.list": "Words of the prompt",
  "words.search": "Search words",
  "words.locked": "The field above is connected to another node.",
  "words.unconnected": "The prompt's words appear here once the node is connected to a sampler.",
  "words.empty": "The prompt is empty.",
  "words.unknown": "The prompt's words appear here after a run.",
  "lens.before": "Run the workflow to see its image here.",
  "lens.image": "The image with its heatmap",
  "lens.runFirst": "Run the workflow first.",
  "lens.arriving": "The maps of some words are still loading. Try again in a moment.",
  "lens.imageLoading": "The image is still loading. Try again in a moment.",
  "lens.gone": "The image is no longer there. Run the workflow again.",
  "lens.notSaved": "The image could not be saved ({reason}).",
  "lens.noAttention": "No word of the prompt got any attention here.",
  "lens.lockedWords": "`words` is connected to another node, so words cannot be pinned.",
  "lens.noAnswer": "ComfyUI is not responding. Is it still running?",
  "lens.absent": "“{word}” is pinned, but is not one of the words of the last run. Click to unpin it.",
  "lens.chip": "{word}: concentration {score} of 100. Click to pin.",
  "lens.chipLoading": "{word}. Click to pin.",
  "lens.concentration": "concentration {score} of 100",
  "lens.place": "a place: compared with the other words",
  "lens.fillers": "Filler words",
  "lens.fillersHint": "Shows words that carry grammar rather than content, such as “the” and “of”.",
  "lens.unpin": "Unpin all",
  "lens.unpinHint": "Unpins all words (Esc).",
  "lens.save": "Save image",
  "lens.saveHint": "Saves the heatmaps on screen as one image, with their numbers stored in the file.",
  "lens.view": "View",
  "lens.viewHint": "{heat}: coloured where the word has heat. {cover}: the colours cover the whole image. {reveal}: darkens everything except the place that the word drew.",
  "lens.heat": "heat",
  "lens.cover": "cover",
  "lens.reveal": "reveal",
  "lens.scale": "Scale",
  "lens.scaleHint": "{shared}: one scale for all words, so an ignored word stays dark. {own}: each word is stretched to its own lowest and highest value.",
  "lens.shared": "shared",
  "lens.own": "per word",
  "lens.colours": "Colours",
  "lens.coloursHint": "viridis and inferno are safe for colour-blind eyes.",
  "lens.opacity": "Opacity",
  "lens.opacityHint": "How strongly the heatmap covers the image.",
  "lens.smoothing": "Smoothing",
  "lens.smoothingHint": "Softens the heatmap on screen. The mask is never smoothed.",
  "lens.off": "off",
  "lens.threshold": "Threshold",
  "lens.thresholdHint": "Where the mask begins, between the word's lowest and highest attention. The mask output uses it too.",
  "lens.outline": "Outline",
  "lens.outlineHint": "Outlines the mask.",
  "lens.heads": "Heads",
  "lens.headsHint": "Whose attention you see: all heads (DAAM), or only those that care most about a concept. The outputs change too.",
  "lens.allHeads": "all heads (DAAM)",
  "lens.share": "Share of heads",
  "lens.shareHint": "The share of all heads to use for the concept. 23 % worked best in the paper.",
  "lens.steps": "Steps",
  "lens.stepsHint": "Which part of the schedule you see, from noise to the finished image.",
  "lens.part": "{part} of {parts}",
  "lens.whole": "all",
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
  "message.error": "Error",
  "message.warning": "Warning",
  "message.note": "Note",
  "message.word": "“{word}”",
  "message.more": "{count} more",
  "before.demo": "The demo model does not know {words}. It draws only what is listed here.",
  "before.noClip": "CLIP is not connected, so the words will not be known. Connect the loader's CLIP here and this node's clip output to your text nodes.",
  "before.otherClip": "The CLIP of the text node {nodes} does not come from this node, so its words will not be known. Connect this node's clip output to it.",
  "before.otherClips": "The CLIP of the text nodes {nodes} does not come from this node, so their words will not be known. Connect this node's clip output to them.",
  "before.negativeOff": "The negative prompt is not recorded. Switch `negative` on in {HRVRecordAttention}.",
  "before.notThere": "{words} is not in the prompt.",
  "before.notThereMany": "{words} are not in the prompt.",
  "before.notInNegative": "{words} is not in the negative prompt.",
  "before.notInNegativeMany": "{words} are not in the negative prompt.",
  "saved.mended": "HRV: settings repaired",
  "saved.mendedHint": "{nodes}: an earlier version of these nodes saved some settings in the wrong fields. They are now back where they belong. Save the workflow to keep them.",
  "saved.wrong": "HRV: settings in the wrong fields",
  "saved.wrongHint": "{nodes}: the file has values here that do not fit their fields, such as a word where a number belongs. Earlier versions of these nodes saved such files, and the original values are not in this one. Check the fields and set them again.",
  "report.runAgain": "The prompt has changed. Run the workflow again to see what it does.",
};

const TRANSLATED = ["zh", "ja", "ko", "fr", "de", "es", "ru", "pt"];

/** Of the languages that have translations the one that ComfyUI's setting names, such as `pt-BR`; null for others. */
export function languageOf(locale) {
  const language = String(locale ?? "en").split("-")[0];
  return TRANSLATED.includes(language) ? language : null;
}

/** The texts of a language as ComfyUI's setting names it; English where there are none. */
export async function textsOf(locale) {
  const language = languageOf(locale);
  return language ? (await import(`../languages/${language}.js`)).default : TEXTS;
}

// The page has read its settings before it loads extensions; window.app is there only after them.
const page = globalThis.comfyAPI?.app?.app;
export const LOCALE = String(page?.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en");
const own = await textsOf(LOCALE);

/** A text with `values` filled in; `{HRVLens}` and the like are titles of nodes. */
export const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? titleOf(key));

/** The title of a kind of node, in the language of the page. */
const titleOf = (type) => globalThis.LiteGraph?.registered_node_types?.[type]?.title ?? type;

/** The text of a name, with `values` filled in. */
export const say = (name, values = {}) => filled(own[name] ?? TEXTS[name], values);

/** The same in English, as the server says it. */
export const inEnglish = (name, values = {}) => filled(TEXTS[name], values);

const [point] = new Intl.NumberFormat(LOCALE).format(1.5).match(/[.,]/) ?? ["."];

/** A number with the decimal point of the language. */
export const figure = (text) => text.replace(".", point);
