// Keys press the buttons of the nine actions, unless something is being typed.
const KEYS = {
  ArrowRight: "right", ArrowLeft: "left", ArrowUp: "up", ArrowDown: "down",
  "+": "bigger", "=": "bigger", "-": "smaller", f: "fatter", t: "taller", Enter: "trigger",
};
document.addEventListener("keydown", (event) => {
  const button = KEYS[event.key] && document.getElementById(`act-${KEYS[event.key]}`);
  if (!button || !button.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [role=tab], [contenteditable]")) return;
  // Enter presses a button that has the focus, unless it is one of the nine.
  if (event.key === "Enter" && event.target.closest("button:not([id^=act-])")) return;
  event.preventDefault();
  button.click();
});
