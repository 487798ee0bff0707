// The data of a page, as the page itself unpacks them.
"use strict";
const { execFileSync } = require("node:child_process");
const { copyFileSync, readFileSync } = require("node:fs");
const Unpack = require("../../crates/report/src/page/unpack.js");
const Ledger = require("../../crates/report/src/page/evaluate.js");

const ELEMENT = /(<script type="text\/plain" id="data">)(.*?)(<\/script>)/s;

/** Writes the page of a command to a file; one that is made already, OPLEDGER_PAGE, is taken for it. */
function write(command, file) {
  const made = process.env.OPLEDGER_PAGE;
  if (made) copyFileSync(made, file);
  else execFileSync(command, ["page", "-o", file]);
}

async function read(file) {
  const html = readFileSync(file, "utf8");
  const packed = ELEMENT.exec(html)[2];
  const text = await Unpack.text(packed);
  return { html, packed, text, ledger: Ledger.ledger(JSON.parse(text)) };
}

module.exports = { ELEMENT, read, write };
