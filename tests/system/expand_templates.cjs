// Binds {templates, cases: [[index of a template, data], …]} from standard input with the official engine.
// Prints the results as JSON.
const { Template } = require("adaptivecards-templating");

let source = "";
process.stdin.on("data", (chunk) => (source += chunk));
process.stdin.on("end", () => {
  const { templates, cases } = JSON.parse(source);
  const compiled = templates.map((template) => new Template(template));
  const expanded = cases.map(([index, data]) => compiled[index].expand({ $root: data }));
  process.stdout.write(JSON.stringify(expanded));
});
