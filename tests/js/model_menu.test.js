import assert from "node:assert/strict";
import { test } from "node:test";
import { nameOf } from "../../static/chat/views/model_menu.js";

const provider = (...models) => ({ id: "p", label: "Provider", models });
const plain = { id: "m-1", label: "m-1" };
const named = { id: "m-2", label: "The Second" };

test("an only model goes by its provider's name, unless it has one of its own", () => {
  assert.equal(nameOf(provider(plain), plain), "Provider");
  assert.equal(nameOf(provider(named), named), "Provider — The Second");
});

test("of several models, each is named", () => {
  assert.equal(nameOf(provider(plain, named), plain), "Provider — m-1");
  assert.equal(nameOf(provider(plain, named), named), "Provider — The Second");
});
