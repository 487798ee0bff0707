// The data of a page, as the page itself unpacks them.
"use strict";
const { readFileSync } = require("node:fs");
const Unpack = require("../../crates/report/src/page/unpack.js");
const Ledger = require("../../crates/report/src/page/evaluate.js");

const ELEMENT = /(<script type="text\/plain" id="data">)(.*?)(<\/script>)/s;

async function read(file) {
  const html = readFileSync(file, "utf8");
  const packed = ELEMENT.exec(html)[2];
  const text = await Unpack.text(packed);
  return { html, packed, text, ledger: Ledger.ledger(JSON.parse(text)) };
}

module.exports = { ELEMENT, read };
