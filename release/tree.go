package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// tree is a copy of a repository's files. It is a repository of its own, as module
// zips are made from revisions.
type tree struct {
	dir     string
	modules []*goModule                  // each after those that it requires
	works   map[string]*modfile.WorkFile // by the directory that has the go.work
}

// goModule is a module of the tree.
type goModule struct {
	dir  string // below the tree, with slashes; "." for the root
	file *modfile.File
}

func (m *goModule) path() string { return m.file.Module.Mod.Path }

// copyTree copies the files of the repository source, of which it has the tracked
// ones and those that Git does not ignore, as they are in its working tree.
func copyTree(source, dir string) (*tree, error) {
	list, err := git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
	if err != nil {
		return nil, err
	}
	t := &tree{dir: dir, works: map[string]*modfile.WorkFile{}}
	byPath := map[string]*goModule{}
	var modules []*goModule
	for _, name := range strings.Split(strings.TrimSuffix(list, "\x00"), "\x00") {
		data, err := copyFile(dir, source, name)
		if os.IsNotExist(err) { // deleted in the working tree
			continue
		}
		if err != nil {
			return nil, err
		}
		switch path.Base(name) {
		case "go.work":
			if t.works[path.Dir(name)], err = modfile.ParseWork(name, data, nil); err != nil {
				return nil, err
			}
		case "go.mod":
			file, err := modfile.Parse(name, data, nil)
			if err != nil {
				return nil, err
			}
			m := &goModule{path.Dir(name), file}
			modules = append(modules, m)
			byPath[m.path()] = m
		}
	}
	if t.works["."] == nil || !slices.ContainsFunc(modules, func(m *goModule) bool { return m.dir == "." }) {
		return nil, fmt.Errorf("%s has no go.work or no go.mod", source)
	}

	slices.SortFunc(modules, func(a, b *goModule) int { return strings.Compare(a.dir, b.dir) })
	var add func(m *goModule)
	add = func(m *goModule) {
		if slices.Contains(t.modules, m) {
			return
		}
		for _, r := range m.file.Require {
			if needed := byPath[r.Mod.Path]; needed != nil {
				add(needed)
			}
		}
		t.modules = append(t.modules, m)
	}
	for _, m := range modules {
		add(m)
	}
	if _, err := git(dir, "init", "--quiet"); err != nil {
		return nil, err
	}
	return t, t.commit()
}

// copyFile copies the file with this name below from to the same place below to, and
// returns what is in it.
func copyFile(to, from, name string) ([]byte, error) {
	source, target := filepath.Join(from, name), filepath.Join(to, name)
	info, err := os.Lstat(source)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a plain file, as those of a module have to be", name)
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o777); err != nil {
		return nil, err
	}
	return data, os.WriteFile(target, data, info.Mode().Perm())
}

// commit makes the tree as it is now the revision HEAD.
func (t *tree) commit() error {
	// Files that are tracked although they are ignored belong to the tree, too.
	if _, err := git(t.dir, "add", "--all", "--force"); err != nil {
		return err
	}
	_, err := git(t.dir, "-c", "user.name=release", "-c", "user.email=", "-c", "commit.gpgsign=false",
		"-c", "core.hooksPath="+os.DevNull, "commit", "--quiet", "--allow-empty", "--message", "tree")
	return err
}

// own tells whether path is a module of the tree.
func (t *tree) own(path string) bool {
	return slices.ContainsFunc(t.modules, func(m *goModule) bool { return m.path() == path })
}

// root returns the path of the module that the others are nested in.
func (t *tree) root() string {
	for _, m := range t.modules {
		if m.dir == "." {
			return m.path()
		}
	}
	panic("release: a tree without a root")
}

// workOf returns the directory of the go.work that the go command uses in m: the nearest one.
func (t *tree) workOf(m *goModule) string {
	dir := m.dir
	for t.works[dir] == nil {
		dir = path.Dir(dir)
	}
	return dir
}

// required returns the first version that a module requires of another, or "".
func (t *tree) required() string {
	for _, m := range t.modules {
		for _, r := range m.file.Require {
			if t.own(r.Mod.Path) {
				return r.Mod.Version
			}
		}
	}
	return ""
}

// require makes all modules require this version of each other, and the workspaces
// have it.
func (t *tree) require(version string) error {
	for _, m := range t.modules {
		for _, r := range slices.Clone(m.file.Require) {
			if t.own(r.Mod.Path) {
				if err := m.file.AddRequire(r.Mod.Path, version); err != nil {
					return err
				}
			}
		}
		data, err := m.file.Format()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(t.dir, m.dir, "go.mod"), data, 0o666); err != nil {
			return err
		}
	}
	for dir, work := range t.works {
		for _, r := range work.Replace {
			// Not by AddReplace and DropReplace, which lose the comment above.
			if i := slices.Index(r.Syntax.Token, r.Old.Version); i >= 0 && t.own(r.Old.Path) {
				r.Old.Version, r.Syntax.Token[i] = version, version
			}
		}
		if err := os.WriteFile(filepath.Join(t.dir, dir, "go.work"), modfile.Format(work.Syntax), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// keep copies every go.work, go.mod and go.sum that differ back to the source, and
// writes their names to w.
func (t *tree) keep(w io.Writer, source string) error {
	var names []string
	for _, dir := range slices.Sorted(maps.Keys(t.works)) {
		names = append(names, path.Join(dir, "go.work"))
	}
	for _, m := range t.modules {
		names = append(names, path.Join(m.dir, "go.mod"), path.Join(m.dir, "go.sum"))
	}
	for _, name := range names {
		want, err := readIfThere(filepath.Join(t.dir, name))
		if err != nil {
			return err
		}
		have, err := readIfThere(filepath.Join(source, name))
		if err != nil {
			return err
		}
		if bytes.Equal(have, want) {
			continue
		}
		fmt.Fprintln(w, "changed", name)
		if want == nil {
			err = os.Remove(filepath.Join(source, name))
		} else {
			err = os.WriteFile(filepath.Join(source, name), want, 0o666)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tags returns the names that the version has in every module.
func (t *tree) tags(version string) []string {
	var tags []string
	for _, m := range t.modules {
		tags = append(tags, path.Join(m.dir, version))
	}
	return tags
}

// readIfThere returns the contents of a file, or nil where there is none.
func readIfThere(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	return data, err
}

// git runs Git in dir and returns what it prints, without the last line feed.
func git(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	return output(cmd)
}

// output returns what a command prints, without the last line feed. What it says when
// it fails is in the error.
func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s, in %s: %w\n%s%s", strings.Join(cmd.Args, " "), cmd.Dir, err, out, stderr.Bytes())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// forgetRepository drops variables that Git sets for a hook: with them, commands in
// the copy would work on the repository that the hook is of.
func forgetRepository() {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "GIT_") {
			os.Unsetenv(name)
		}
	}
}
