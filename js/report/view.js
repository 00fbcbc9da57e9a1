// A prompt report: findings in large type, each with a small image, why, and what to do about it.

import { make } from "../lens/dom.js";
import { shareText } from "../lens/shares.js";
import { inOwnWords } from "../page/said.js";
import { say } from "../page/texts.js";

export class ReportView {
  /** host: {pictureAddress(image), apply(remedy) → whether it could, canApply(remedy), copy(text)} */
  constructor(host) {
    this.host = host;
    this.picture = 0;
    this.done = new Set(); // remedies that were applied since the run
    this.element = make("div", { class: "hrv-report", "data-capture-wheel": "true" }, make("p", { class: "hrv-report-hint" }, say("report.before")));
    this.element.addEventListener("pointerenter", () => this.refresh());
  }

  /** payload: as hrv/report/report.py packs it, with `thumbs`; output: what the node sent, whose `images` are the pages. */
  show(payload, { images }) {
    this.payload = payload;
    this.images = images ?? [];
    this.done.clear();
    this.picture = Math.min(this.picture, payload.pictures.length - 1);
    this.fill();
  }

  fill() {
    const { pictures, thumbs } = this.payload;
    const own = pictures[this.picture];
    const before = pictures.slice(0, this.picture).reduce((sum, one) => sum + one.findings.length, 0);
    this.buttons = [];
    const head = make("div", { class: "hrv-report-head" }, make("strong", {}, this.own(own.title)), ...(pictures.length > 1 ? [this.turner()] : []), ...this.page());
    const findings = own.findings.map((finding, i) => this.finding(finding, thumbs[before + i]));
    if (!findings.length && own.words.length) findings.push(make("p", { class: "hrv-report-well" }, say(own.judged === false ? "report.notJudged" : "report.well")));
    this.element.replaceChildren(head, ...findings, this.words(own));
    this.element.scrollTop = 0;
    this.refresh();
  }

  page() {
    const image = this.images[this.picture];
    return image ? [make("a", { href: this.host.pictureAddress(image), target: "_blank", rel: "noopener", title: say("report.pageHint") }, say("report.page"))] : [];
  }

  turner() {
    const turn = (by) => {
      this.picture = (this.picture + by + this.payload.pictures.length) % this.payload.pictures.length;
      this.fill();
    };
    const arrow = (text, by, hint) => make("button", { type: "button", title: hint, "aria-label": hint, onclick: () => turn(by) }, text);
    return make("span", { class: "hrv-report-turn" }, arrow("◀", -1, say("previousImage")), ` ${this.picture + 1} / ${this.payload.pictures.length} `, arrow("▶", 1, say("nextImage")));
  }

  /** What the server says, in the language of the page. */
  own(sentence) {
    return inOwnWords(sentence, this.payload.said);
  }

  finding({ headline, tip, why, remedies }, thumb) {
    const text = make("div", { class: "hrv-report-text" }, make("p", { class: "hrv-report-headline" }, this.own(headline)), make("p", { class: "hrv-report-tip" }, ...coded(this.own(tip))));
    if (remedies.length) text.append(make("div", { class: "hrv-report-remedies" }, ...remedies.map((remedy) => this.button(remedy))));
    if (why.length) text.append(make("details", {}, make("summary", {}, say("report.why")), ...why.map((reason) => make("p", {}, this.own(reason)))));
    const image = thumb && make("img", { src: this.host.pictureAddress(thumb), alt: "", draggable: "false" });
    return make("section", { class: "hrv-report-finding" }, ...(image ? [image] : []), text);
  }

  button(remedy) {
    const element = make("button", { type: "button", onclick: () => this.take(remedy) }, labelOf(remedy));
    this.buttons.push({ element, remedy });
    return element;
  }

  /** Applies a remedy to the prompt; where its text is no field of the graph, copies what to type. */
  take(remedy) {
    if (this.host.apply(remedy)) {
      this.done.add(remedy);
      return this.refresh();
    }
    const text = typedOf(remedy);
    const { element } = this.buttons.find((one) => one.remedy === remedy);
    const told = (key) => (element.textContent = say(key, { text }));
    this.host.copy(text).then(() => told("report.copied"), () => told("report.type"));
  }

  /** Says on each button what a click does now: the prompt may have changed since. */
  refresh() {
    for (const { element, remedy } of this.buttons ?? []) {
      const can = this.host.canApply(remedy);
      const done = this.done.has(remedy) && !can;
      element.disabled = done;
      element.textContent = done ? `${labelOf(remedy)} ✓` : labelOf(remedy);
      element.title = say(done ? "report.done" : can ? "report.apply" : "report.copy");
    }
    const changed = [...this.done].some((remedy) => !this.host.canApply(remedy));
    this.note?.remove();
    this.note = null;
    if (!changed) return;
    this.note = make("p", { class: "hrv-report-note", role: "status" }, say("report.runAgain"));
    this.element.firstChild.after(this.note);
  }

  /** All words, the most looked at first. */
  words({ words, filler }) {
    if (!words.length) return make("span");
    const most = Math.max(...words.map((word) => word.strength), 1e-9);
    const line = filler !== null && filler <= most ? `calc(${(100 * filler) / most}% - 1px)` : null;
    const rows = words.map(({ name, strength, mark }) => {
      const bar = make("span", { class: "hrv-report-bar" }, make("span", { style: `width: ${(100 * strength) / most}%` }));
      if (line) bar.append(make("i", { style: `left: ${line}` }));
      return make("li", { class: mark ? "hrv-report-marked" : "", title: this.own(mark) }, make("span", { class: "hrv-report-word" }, name), bar, make("span", { class: "hrv-report-share" }, shareText(strength)));
    });
    return make("details", { class: "hrv-report-words", open: words.length <= 12 }, make("summary", { title: say(line ? "report.wordsHintFiller" : "report.wordsHint") }, say("report.words")), make("ul", {}, ...rows));
  }

  close() {
    this.element.replaceChildren();
    this.payload = this.buttons = null;
  }
}

/** Text with its `code` marked. */
const coded = (text) => text.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part));

const bare = (name) => name.replace(/(?<=.)#\d+$/, "");

/** What one would type. */
function typedOf({ kind, words, weight }) {
  const name = bare(words[0]).replace(/[()]/g, "\\$&");
  return kind === "weight" ? `(${name}:${weight})` : name;
}

function labelOf(remedy) {
  return say(`report.remedy.${remedy.kind}`, { text: typedOf(remedy), word: bare(remedy.words[0]), words: remedy.words.map(bare).join(", "), other: bare(remedy.words[1] ?? "") });
}
