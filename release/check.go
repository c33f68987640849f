package main

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// checkRepository returns what keeps the repository source, of which t is a copy, from
// being tagged as this version.
func checkRepository(source string, t *tree, version string) (problems []string, err error) {
	changes, err := git(source, "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	if changes != "" {
		problems = append(problems, "There are changes that are not committed:\n"+changes)
	}
	tagged, err := git(source, "tag", "--list")
	if err != nil {
		return nil, err
	}
	for _, tag := range t.tags(version) {
		if slices.Contains(strings.Fields(tagged), tag) {
			problems = append(problems, "There is a tag "+tag+".")
		}
	}
	changelog, err := readIfThere(filepath.Join(t.dir, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	number := strings.TrimPrefix(version, "v")
	if !regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(number) + `\] - \d{4}-\d\d-\d\d$`).Match(changelog) {
		problems = append(problems, "CHANGELOG.md has no section ## ["+number+"] - YYYY-MM-DD.")
	}
	return problems, nil
}

// checkRequirements returns what is wrong in go.mod and go.work, as they are in t, with
// modules that require each other at this version.
func checkRequirements(t *tree, version string) (problems []string) {
	for _, m := range t.modules {
		name := path.Join(m.dir, "go.mod")
		if want := path.Join(t.root(), m.dir); m.path() != want {
			problems = append(problems, name+": the module is "+m.path()+", not "+want+".")
		}
		if len(m.file.Replace) > 0 {
			problems = append(problems, name+" replaces modules, which go install refuses.")
		}
		dir := t.workOf(m)
		work, workName := t.works[dir], path.Join(dir, "go.work") // those that the go command uses in m
		if !slices.ContainsFunc(work.Use, func(u *modfile.Use) bool { return path.Join(dir, u.Path) == m.dir }) {
			problems = append(problems, workName+" does not use "+m.dir+".")
		}
		for _, r := range m.file.Require {
			if !t.own(r.Mod.Path) {
				continue
			}
			if r.Mod.Version != version {
				problems = append(problems, fmt.Sprintf("%s requires %s, not %s: make tidy VERSION=%[3]s", name, r.Mod, version))
			}
			place := path.Join(".", strings.TrimPrefix(r.Mod.Path, t.root()))
			replaced := slices.ContainsFunc(work.Replace, func(w *modfile.Replace) bool {
				return w.Old.Path == r.Mod.Path && w.Old.Version == version && path.Join(dir, w.New.Path) == place
			})
			problem := fmt.Sprintf("%s has no replace %s %s by the files in %s.", workName, r.Mod.Path, version, place)
			if !replaced && !slices.Contains(problems, problem) {
				problems = append(problems, problem)
			}
		}
	}
	return problems
}

// checkModules publishes the modules of t, one after the other, and returns what keeps
// others from requiring them. It writes a line for each module to w.
func checkModules(w io.Writer, t *tree, p *proxy) (problems []string, err error) {
	if err := t.require(p.version); err != nil {
		return nil, err
	}
	for _, m := range t.modules {
		before := map[string][]byte{}
		for _, name := range []string{"go.mod", "go.sum"} {
			if before[name], err = readIfThere(filepath.Join(t.dir, m.dir, name)); err != nil {
				return nil, err
			}
		}
		sums, err := p.tidy(m)
		if err != nil {
			return append(problems, err.Error()), nil // others may need it
		}
		for _, name := range []string{"go.mod", "go.sum"} {
			after, err := readIfThere(filepath.Join(t.dir, m.dir, name))
			if err != nil {
				return nil, err
			}
			if !bytes.Equal(before[name], after) {
				problems = append(problems, path.Join(m.dir, name)+" is not tidy: make tidy")
			}
		}
		size, err := p.publish(m)
		if err != nil {
			return append(problems, err.Error()), nil
		}
		if err := p.build(m, sums); err != nil {
			problems = append(problems, err.Error())
			continue
		}
		fmt.Fprintf(w, "%-45s %s  %4d KiB\n", m.path(), p.version, (size+1023)>>10)
	}
	return problems, nil
}
