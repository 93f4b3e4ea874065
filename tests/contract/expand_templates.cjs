// Binds [{template, data}, …] from standard input with the official engine; prints the results as JSON.
const { Template } = require("adaptivecards-templating");

let source = "";
process.stdin.on("data", (chunk) => (source += chunk));
process.stdin.on("end", () => {
  const cases = JSON.parse(source);
  const expanded = cases.map(({ template, data }) => new Template(template).expand({ $root: data }));
  process.stdout.write(JSON.stringify(expanded));
});
