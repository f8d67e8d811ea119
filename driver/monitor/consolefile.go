package monitor

import (
	"github.com/davitd/davit/driver/monitor/console"
	"github.com/davitd/davit/driver/monitor/consolelog"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// openFiles opens what consoles are written to beside their log. They are made with the first byte.
func (m *monitor) openFiles(start *monitorv1.Start, descriptors *wire.Descriptors) (map[string]*consolelog.Log, error) {
	folders := descriptors.Take(monitorv1.DescriptorKind_DESCRIPTOR_KIND_CONSOLE_FOLDER)
	consoles := start.GetPlan().GetConsoles()
	files := make(map[string]*consolelog.Log, len(folders))
	for i, name := range start.GetFiles() {
		if name == "" || len(folders) == 0 || i >= len(consoles) {
			continue
		}
		files[consoles[i].GetAlias()] = m.openIn(folders[0], name, start.GetLog())
		folders = folders[1:]
	}
	if len(folders) > 0 {
		wire.CloseAll(folders)
		Cgroups{Files: files}.closeFiles()
		return nil, refuse("open files of consoles", monitorv1.ErrorKind_ERROR_KIND_INVALID, "there are more folders than files")
	}
	return files, nil
}

// logOf is where a console's output goes.
func (g Cgroups) logOf(alias string, output *consolelog.Log) console.Log {
	if file := g.Files[alias]; file != nil {
		return both{output.Source(alias), file}
	}
	return output.Source(alias)
}

func (g Cgroups) closeFiles() {
	for _, f := range g.Files {
		f.Close()
	}
}

// both are two logs of one console.
type both [2]console.Log

func (b both) Write(p []byte) {
	b[0].Write(p)
	b[1].Write(p)
}

func (b both) End() {
	b[0].End()
	b[1].End()
}
