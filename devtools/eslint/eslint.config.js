// What is checked of js/. There is no build step: the page loads these files as they are.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: globals.browser },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "eqeqeq": ["error", "always", { null: "ignore" }],
      "no-var": "error",
      "prefer-const": "error",
      "no-shadow": "error",
      "no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
      "require-await": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      // the grammar of prompts is about such characters
      "no-control-regex": "off",
      "no-misleading-character-class": "off",
    },
  },
];
