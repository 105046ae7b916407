"""The tests mirror the code: sentences, tables, laws and crashes."""
