package server_test

import (
	"errors"
	"testing"

	"go.uber.org/zap"

	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/fake"
	"github.com/davitd/davit/server"
)

// A driver that cannot be opened is told, whatever pointer comes with the error.
func TestDriverThatCannotBeOpened(t *testing.T) {
	cause := errors.New("no cgroups")
	config := server.Rooted(t.TempDir())
	config.Driver = "fake"
	_, err := server.New(server.Options{
		Config: config, Logger: zap.NewNop(),
		Driver: func(server.Config, string, *zap.Logger) (driver.Driver, error) {
			var none *fake.Driver
			return none, cause
		},
	})
	if !errors.Is(err, cause) {
		t.Errorf("server.New: %v", err)
	}
}
