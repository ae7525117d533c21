// Writes schemas.json: JSON schemas of a dashboard and of each kind of panel, from what Grafana publishes as TypeScript.
// Run in a folder with node_modules (@grafana/schema, ts-json-schema-generator, typescript) by `caretaker boards check
// --schema`, which makes that folder; the panels' kinds are the arguments. One program is parsed for all of them.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const folder = process.cwd();
const load = createRequire(path.join(folder, "package.json"));
const generator = await import(pathToFileURL(load.resolve("ts-json-schema-generator")).href);
const types = "./node_modules/@grafana/schema/dist/types/raw";

const wanted = ["Dashboard"];
const lines = [`export type { Dashboard } from "${types}/dashboard/x/types.gen";`];
for (const kind of process.argv.slice(2)) {
  const file = `${types}/composable/${kind}/panelcfg/x/types.gen`;
  const text = fs.readFileSync(path.join(folder, `${file}.d.ts`), "utf8");
  for (const name of ["Options", "FieldConfig"]) {
    if (!text.includes(`interface ${name} `)) continue;
    lines.push(`import type { ${name} as ${kind}_${name} } from "${file}";`);
    lines.push(`export type ${kind}${name} = ${kind}_${name};`);
    wanted.push(`${kind}${name}`);
  }
}
fs.writeFileSync("entry.ts", lines.join("\n") + "\n");
fs.writeFileSync(
  "tsconfig.json",
  JSON.stringify({
    compilerOptions: { target: "ES2022", module: "ESNext", moduleResolution: "bundler", skipLibCheck: true, strict: true },
    files: ["entry.ts"],
  }),
);
const config = {
  ...generator.DEFAULT_CONFIG,
  path: "entry.ts",
  tsconfig: "tsconfig.json",
  skipTypeCheck: true,
  topRef: true,
};
const program = generator.createProgram(config);
const made = new generator.SchemaGenerator(
  program,
  generator.createParser(program, config),
  generator.createFormatter(config),
  config,
);
const schemas = Object.fromEntries(wanted.map((name) => [name, made.createSchema(name)]));
const version = JSON.parse(fs.readFileSync("node_modules/@grafana/schema/package.json", "utf8")).version;
fs.writeFileSync("schemas.json", JSON.stringify({ version, schemas }));
