// The data of a page, which stand in it deflated and in letters of base64.
"use strict";
const Unpack = (() => {
  /** The text that was packed; an error where it is not whole. */
  async function text(packed) {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser has no DecompressionStream, which the formulas are unpacked with; a newer one has");
    let bytes;
    try {
      bytes = Uint8Array.from(atob(packed.trim()), (letter) => letter.charCodeAt(0));
      return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
    } catch (problem) {
      throw new Error(`the data of this page are damaged (${problem.message}): fetch it again`);
    }
  }

  return { text };
})();
if (typeof module !== "undefined") module.exports = Unpack;
