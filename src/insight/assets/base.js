"use strict";

// An element with properties and children; text is always text.
function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") node.className = value;
    else if (key === "style") node.style.cssText = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const colourNames = ["blue", "teal", "green", "yellow", "orange", "red", "pink", "purple", "gray"];

// A colour of the palette as CSS; anything else is gray.
function palette(name) {
  return `var(--${colourNames.includes(name) ? name : "gray"})`;
}

function bytesText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes, unit = "B";
  for (const next of ["kB", "MB", "GB", "TB"]) {
    if (value < 999.95) break;
    value /= 1000;
    unit = next;
  }
  return `${value.toFixed(1)} ${unit}`;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

const themeListeners = [];

function initTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const button = document.getElementById("theme");
  const show = () => {
    button.textContent = now() === "dark" ? "\u2600" : "\u263e";
    for (const listener of themeListeners) listener();
  };
  const asked = location.hash.match(/theme=(dark|light)/);
  if (asked) document.documentElement.dataset.theme = asked[1];
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = now() === "dark" ? "light" : "dark";
    show();
  });
  dark.addEventListener("change", show);
  show();
}

// The colours of the theme as what a canvas takes.
function themeColours(names) {
  const probe = el("span", { style: "display:none" });
  document.body.append(probe);
  const colours = {};
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}
