"""The page in Gradio, which only the extra ``app`` brings; all else of the app does without."""
