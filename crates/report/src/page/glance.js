// The answers in a few words, each leading to its section.
"use strict";
const Glance = (() => {
  const { get, element } = Dom;

  /** Tiles: what is asked, the answer, what belongs to it, and the section that has the rest. */
  function show(tiles) {
    get("glance").replaceChildren(...tiles.map(([asked, answer, more, section]) => {
      const button = element("button", undefined, { type: "button" });
      button.append(element("span", asked, { class: "quiet" }), element("strong", answer), element("span", more, { class: "quiet" }));
      button.addEventListener("click", () => {
        const heading = get(section);
        heading.tabIndex = -1;
        heading.focus({ preventScroll: true });
        heading.closest("section").scrollIntoView({ block: "start" });
      });
      const item = element("li");
      item.append(button);
      return item;
    }));
  }

  return { show };
})();
