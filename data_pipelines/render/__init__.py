"""From world motion to rendered clips on which the real detector has been run."""
