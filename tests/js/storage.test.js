import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts, MOST_DRAFTS } from "../../static/chat/drafts.js";
import { MOST_UNSENT, Outbox } from "../../static/chat/outbox.js";
import { Preferences } from "../../static/chat/preferences.js";

class Memory {
  #items = new Map();
  getItem = (name) => this.#items.get(name) ?? null;
  setItem = (name, value) => void this.#items.set(name, String(value));
}

const forbidden = {
  getItem: () => {
    throw new Error("forbidden");
  },
  setItem: () => {
    throw new Error("forbidden");
  },
};

test("a draft belongs to its conversation and its person", () => {
  const memory = new Memory();
  new Drafts(memory, "ada").set("c1", "words");
  new Drafts(memory, "ada").set(null, "new words");
  assert.equal(new Drafts(memory, "ada").get("c1"), "words");
  assert.equal(new Drafts(memory, "ada").get(null), "new words");
  assert.equal(new Drafts(memory, "bob").get("c1"), "");
});

test("an empty draft is forgotten, and so are the oldest of too many", () => {
  const drafts = new Drafts(new Memory(), "ada");
  for (let count = 0; count <= MOST_DRAFTS; count++) drafts.set(`c${count}`, "x");
  assert.deepEqual([drafts.get("c0"), drafts.get("c1")], ["", "x"]);
  drafts.set("c1", "");
  assert.equal(drafts.get("c1"), "");
});

test("an unsent message survives until it is sent", () => {
  const memory = new Memory();
  new Outbox(memory, "ada").put({ key: "k", conversation: "c", text: "words" });
  const again = new Outbox(memory, "ada");
  assert.deepEqual(again.of("c"), [{ key: "k", conversation: "c", text: "words" }]);
  assert.deepEqual(again.of(null), []);
  again.put({ key: "k", conversation: "c", text: "words", refused: { code: "X" } });
  assert.equal(again.of("c").length, 1);
  again.remove("k");
  assert.deepEqual(again.of("c"), []);
});

test("the outbox has a bound", () => {
  const outbox = new Outbox(new Memory(), "ada");
  for (let count = 0; count <= MOST_UNSENT; count++) outbox.put({ key: `k${count}`, conversation: null });
  assert.equal(outbox.of(null).length, MOST_UNSENT);
});

test("where storage is forbidden or spoiled, nothing breaks", () => {
  const spoiled = new Memory();
  for (const name of ["chat.drafts.ada", "chat.outbox.ada"]) spoiled.setItem(name, "{");
  for (const storage of [forbidden, spoiled, null]) {
    new Drafts(storage, "ada").set("c", "x");
    new Drafts(storage, "ada").get("c");
    new Outbox(storage, "ada").put({ key: "k", conversation: "c" });
    const preferences = new Preferences(storage);
    preferences.set("transport", "sse");
    assert.equal(preferences.get("transport"), "sse");
  }
});
