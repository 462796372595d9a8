"""The commands to begin with: the demo, the page in the browser, and the paper's ladder."""
