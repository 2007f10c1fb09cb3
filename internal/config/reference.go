package config

import (
	"cmp"
	"fmt"
	"strings"
)

// unit tells what values of a type are written in.
func (k Key) unit() string {
	switch k.Type {
	case "duration":
		return "with its unit: `ms`, `s`, `m`, `h`"
	case "count":
		return "a whole number"
	case "size":
		return "with its unit: `MiB`, `GiB`"
	case "port":
		return "TCP port"
	}
	return ""
}

// YAML is conf/perennial.yaml: every key, commented out at its default.
func YAML() string {
	var b strings.Builder
	b.WriteString(`# Configuration of Perennial: every key there is, commented out at its default. Each can be
# overridden by an environment variable (PERENNIAL_REST_PORT) and by -D key=value.
# What docs/configuration.md says about a key is above it. This file is generated from the same table.
`)
	group := ""
	for _, k := range Keys {
		first, _, _ := strings.Cut(string(k.Name), ".")
		if first != group {
			b.WriteString("\n")
			group = first
		}
		for _, line := range wrapped(k.Meaning, 100) {
			fmt.Fprintf(&b, "## %s\n", line)
		}
		fmt.Fprintf(&b, "# %s\n", strings.TrimRight(fmt.Sprintf("%s: %s", k.Name, k.Default), " "))
	}
	return b.String()
}

// Table is the keys as a table in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| key | type | default | unit | meaning | SIGHUP | since |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, k := range Keys {
		value := "unset"
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		again := "–"
		if k.Name.Reloaded() {
			again = "read again"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", k.Name, k.Type, value, cmp.Or(k.unit(), "–"), strings.ReplaceAll(k.Meaning, "|", `\|`), again, k.Since)
	}
	return b.String()
}

// wrapped breaks text into lines of at most width bytes, where words allow.
func wrapped(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}
