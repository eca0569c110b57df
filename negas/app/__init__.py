"""An app for the browser: words and thresholds on pictures, on a finished test, on a bank."""
