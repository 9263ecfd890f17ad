"""Workbooks written by hand, whole and hostile."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence

_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>'
_MAIN = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = b"http://schemas.openxmlformats.org/package/2006"


def workbook(rows: Sequence[Sequence[object]], more: bytes = b"", beside: bytes = b"") -> bytes:
    """A packed workbook of one sheet.

    Args:
        rows: Its cells.
        more: XML behind the last row.
        beside: Content of a part that nothing needs.
    """
    cells = b"".join(
        b"<row>" + b"".join(b'<c t="inlineStr"><is><t>%s</t></is></c>' % str(cell).encode() for cell in row) + b"</row>"
        for row in rows
    )
    kinds = b"application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": b'<Types xmlns="%s/content-types"><Default Extension="xml" ContentType="text/xml"/>'
        b'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        b'<Override PartName="/xl/workbook.xml" ContentType="%s.sheet.main+xml"/>'
        b'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="%s.worksheet+xml"/></Types>'
        % (_PACKAGE, kinds, kinds),
        "_rels/.rels": b'<Relationships xmlns="%s/relationships"><Relationship Id="r1" Type="%s/officeDocument" '
        b'Target="xl/workbook.xml"/></Relationships>' % (_PACKAGE, _OFFICE),
        "xl/workbook.xml": b'<workbook xmlns="%s" xmlns:r="%s"><sheets><sheet name="a" sheetId="1" r:id="r1"/></sheets>'
        b"</workbook>" % (_MAIN, _OFFICE),
        "xl/_rels/workbook.xml.rels": b'<Relationships xmlns="%s/relationships"><Relationship Id="r1" '
        b'Type="%s/worksheet" Target="worksheets/sheet1.xml"/></Relationships>' % (_PACKAGE, _OFFICE),
        "xl/worksheets/sheet1.xml": b'<worksheet xmlns="%s"><sheetData>%s%s</sheetData></worksheet>'
        % (_MAIN, cells, more),
    }
    if beside:
        parts["xl/media/picture.bin"] = beside
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content if name.startswith("xl/media") else _HEAD + content)
    return packed.getvalue()


def declared_small(packed: bytes, name: bytes) -> bytes:
    """A workbook of which one part declares a size of a single byte, in both places where a packed file does."""
    changed = bytearray(packed)
    for mark, size_at, name_at in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
        place = -1
        while (place := packed.find(mark, place + 1)) >= 0:
            if packed[place + name_at : place + name_at + len(name)] == name:
                struct.pack_into("<I", changed, place + size_at, 1)
    return bytes(changed)
