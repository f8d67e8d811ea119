package main

import (
	"path/filepath"

	"go.uber.org/zap"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	"github.com/davitd/davit/driver/native"
	"github.com/davitd/davit/server"
	"github.com/davitd/davit/server/logs"
)

// driverMaker makes the driver of a daemon.
type driverMaker func(c server.Config, instance string, log *zap.Logger) (driver.Driver, error)

// openDriver makes the driver that the configuration names.
func openDriver(c server.Config, instance string, log *zap.Logger) (driver.Driver, error) {
	if c.Driver == "fake" {
		return fake.New(fake.Options{Instance: instance, LogDir: logs.Dir(c.Paths.Log)}), nil
	}
	monitor, err := c.Monitor()
	if err != nil {
		return nil, err
	}
	return native.New(native.Options{
		RunDir:      c.Paths.Run,
		StateDir:    filepath.Join(c.Paths.Run, "d"),
		UpperDir:    filepath.Join(c.Paths.Lib, "upper"),
		LogDir:      logs.Dir(c.Paths.Log),
		LogMaxBytes: uint64(c.Logs.MaxFileBytes),
		LogMaxFiles: uint32(c.Logs.MaxFiles),
		MonitorPath: monitor,
		CgroupRoot:  c.CgroupRoot,
		Instance:    instance,
		HomeDir:     c.Paths.Lib,
		SeccompDir:  c.Paths.SeccompDir,
		Pool: native.Pool{
			Dir: c.IDMap.Dir, Base: uint32(c.IDMap.Base), Size: uint32(c.IDMap.Size), Count: uint32(c.IDMap.Count),
		},
		Logger: log,
	})
}

// warn logs an error that nobody waits for.
func warn(log *zap.Logger, err error) {
	if err != nil {
		log.Warn("davitd", zap.Error(err))
	}
}
