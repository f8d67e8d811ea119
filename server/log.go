package server

import (
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// level is the least level that is logged.
func (l Log) level() (zapcore.Level, error) { return zapcore.ParseLevel(l.Level) }

// Logger writes to standard error what the configuration says. The level can be changed while it does.
func (l Log) Logger() (*zap.Logger, zap.AtomicLevel, error) {
	least, err := l.level()
	if err != nil {
		return nil, zap.AtomicLevel{}, err
	}
	level := zap.NewAtomicLevelAt(least)
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "time"
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	format := l.Format
	if format == "auto" {
		format = "json"
		if _, notTerminal := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); notTerminal == nil {
			format = "console"
		}
	}
	if format == "console" {
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
	}
	log, err := zap.Config{
		Level:             level,
		Encoding:          format,
		EncoderConfig:     encoding,
		OutputPaths:       []string{"stderr"},
		ErrorOutputPaths:  []string{"stderr"},
		DisableCaller:     true,
		DisableStacktrace: true,
	}.Build()
	return log, level, err
}
