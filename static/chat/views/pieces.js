/* The page's pieces: `<template>`s that the server has translated, cloned and filled here. */

export const piece = (id) => document.getElementById(`${id}-piece`).content.firstElementChild.cloneNode(true);

export const part = (element, name) => element.querySelector(`[data-part="${name}"]`);

export const action = (element, name) => element.querySelector(`[data-action="${name}"]`);

/** Sets a text without touching the page when it is the same: a live region would speak again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
