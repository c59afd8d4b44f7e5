"""A study in the foreground: signals, and what is printed."""

import os
import signal

import pytest

from studies import foreground
from studies.engines.inline import Inline
from studies.live import Progress
from studies.protocol import Control


def test_one_ctrl_c_does_not_break_off_the_reading_of_the_test_set(capfd):
    control, progress = Control(Inline()), Progress(metric="val_accuracy")
    control.reading = True
    with foreground._signals(control, progress, live=False):
        os.kill(os.getpid(), signal.SIGINT)
        assert control.asked == 1
        assert "Ctrl-C again breaks it off" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
