"use strict";
// Shows only what is looked for. Without it the page is whole, only longer to look through: so the form is hidden at first.
{
  const FEW = 200; // so many may be unfolded at once; laying out all of a large rack takes too long while one types
  const by = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const [form, text, state, base, reset, shown] = ["_filter", "_text", "_state", "_base", "_all", "_shown"].map(by);

  const item = (element) => ({
    element,
    model: element.dataset.model ?? element.id.split("/")[0],
    on: (element.dataset.on ?? "").split(","),
    is: (element.dataset.is ?? "").split(","),
    words: undefined, // made when it is first looked for
  });
  const versions = all("article").map(item);
  const projects = all("#_projects > tr").map(item);
  const branches = all(".spine li[data-model]").map((element) => ({ ...item(element), chips: all("a.chip", element) }));
  const bases = all(".spine > li");
  const sections = all("#_models > section");
  const folds = all("details.earlier");

  const fits = (one) => {
    if (state.value && !one.is.includes(state.value)) return false;
    if (base.value && !one.on.includes(base.value)) return false;
    one.words ??= `${one.model} ${one.element.textContent}`.toLowerCase();
    return text.value.toLowerCase().split(/\s+/).every((word) => one.words.includes(word));
  };
  const show = (element, visible) => {
    if (element.hidden === visible) element.hidden = !visible;
    return visible;
  };
  const count = (some, of, noun) =>
    `${some.length < of.length ? `${some.length.toLocaleString("en")} of ` : ""}${of.length.toLocaleString("en")} ${noun}${of.length === 1 ? "" : "s"}`;

  const apply = () => {
    const filtered = Boolean(text.value.trim() || state.value || base.value);
    const seen = versions.filter((one) => show(one.element, !filtered || fits(one)));
    const ids = new Set(seen.map((one) => one.element.id));
    const models = new Set(seen.map((one) => one.model));
    const places = new Set(seen.map((one) => `${one.model} ${one.on}`));
    const needed = projects.filter((one) => show(one.element, !filtered || fits(one) || models.has(one.model)));
    for (const one of branches) {
      show(one.element, places.has(`${one.model} ${one.on}`) || !filtered || (one.is[0] !== "" && fits(one)));
      for (const chip of one.chips) show(chip, !filtered || ids.has(chip.hash.slice(1)));
    }
    for (const one of bases) {
      show(one, ids.has(one.querySelector("a.chip").hash.slice(1)) || all("li", one).some((branch) => !branch.hidden));
    }
    for (const one of sections) show(one, models.has(one.id));
    for (const one of folds) {
      const found = all("article, .spine > li", one).some((inner) => !inner.hidden);
      show(one, found);
      one.open = filtered && found && seen.length <= FEW;
    }
    reset.disabled = !filtered;
    shown.textContent = `${count(needed, projects, "project")}, ${count(seen, versions, "version")}`;
  };
  const clear = () => {
    text.value = state.value = base.value = "";
    apply();
  };
  const reveal = () => {
    const target = by(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) clear();
    for (const fold of [target.querySelector(":scope > details"), target.closest("details")]) if (fold) fold.open = true;
    target.scrollIntoView();
  };

  for (const [element, event] of [[text, "input"], [state, "change"], [base, "change"]]) element.addEventListener(event, apply);
  reset.addEventListener("click", () => {
    clear();
    text.focus();
  });
  addEventListener("hashchange", reveal);
  addEventListener("keydown", (event) => {
    const writing = event.target.matches?.("input, select, textarea");
    if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && event.target === text) clear();
  });
  form.hidden = false;
  apply(); // the browser may remember what was looked for over a reload
  if (location.hash) reveal();
}
