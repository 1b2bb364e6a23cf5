<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>geosam</name>
    <message>
        <source> m</source>
        <translation> m</translation>
    </message>
    <message>
        <source> m²</source>
        <translation> m²</translation>
    </message>
    <message>
        <source>A geosam program, or the Python interpreter of an environment that has it</source>
        <translation>Ein geosam-Programm oder der Python-Interpreter einer Umgebung, die es hat</translation>
    </message>
    <message>
        <source>A layer cannot be handed on: {}</source>
        <translation>Ein Layer lässt sich nicht weitergeben: {}</translation>
    </message>
    <message>
        <source>A layer is being segmented already. Wait until it is done, or cancel it in the list of tasks.</source>
        <translation>Ein Layer wird schon segmentiert. Warten Sie, bis das fertig ist, oder brechen Sie es in der Aufgabenliste ab.</translation>
    </message>
    <message>
        <source>A polygon stands for</source>
        <translation>Ein Polygon steht für</translation>
    </message>
    <message>
        <source>A prompt means</source>
        <translation>Eine Vorgabe meint</translation>
    </message>
    <message>
        <source>An import failed in the worker's environment ({}): {}.</source>
        <translation>In der Umgebung des Workers ({}) ist ein Import fehlgeschlagen: {}.</translation>
    </message>
    <message>
        <source>Another index</source>
        <translation>Ein anderes Verzeichnis</translation>
    </message>
    <message>
        <source>Around the selected features</source>
        <translation>Um die gewählten Objekte</translation>
    </message>
    <message>
        <source>Bands</source>
        <translation>Kanäle</translation>
    </message>
    <message>
        <source>Bands: {} were chosen, three or one wanted.</source>
        <translation>Kanäle: {} wurden gewählt, drei oder einer wird erwartet.</translation>
    </message>
    <message>
        <source>Cache folder</source>
        <translation>Zwischenspeicher (Ordner)</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Cancelled.</source>
        <translation>Abgebrochen.</translation>
    </message>
    <message>
        <source>Change segmented object</source>
        <translation>Segmentiertes Objekt ändern</translation>
    </message>
    <message>
        <source>Choose a raster layer and a model.</source>
        <translation>Wählen Sie einen Rasterlayer und ein Modell.</translation>
    </message>
    <message>
        <source>Choose a raster layer first: the new layer gets its CRS.</source>
        <translation>Wählen Sie zuerst einen Rasterlayer: Der neue Layer bekommt dessen KBS.</translation>
    </message>
    <message>
        <source>Choose a raster layer.</source>
        <translation>Wählen Sie einen Rasterlayer.</translation>
    </message>
    <message>
        <source>Choose the output layer that has the polygon.</source>
        <translation>Wählen Sie den Ausgabelayer, der das Polygon hat.</translation>
    </message>
    <message>
        <source>Choose worker…</source>
        <translation>Worker wählen…</translation>
    </message>
    <message>
        <source>Class</source>
        <translation>Klasse</translation>
    </message>
    <message>
        <source>Click an object, or drag a box around it. Alt+click: go on with a polygon. Ctrl+Z: undo.</source>
        <translation>Klicken Sie auf ein Objekt, oder ziehen Sie einen Rahmen darum. Alt+Klick: mit einem Polygon weitermachen. Strg+Z: rückgängig.</translation>
    </message>
    <message>
        <source>Click: include. Right click: exclude. Enter: accept. Backspace: back. Esc: clear. G: {granularity}.</source>
        <translation>Klick: gehört dazu. Rechtsklick: gehört nicht dazu. Eingabe: übernehmen. Rücktaste: zurück. Esc: verwerfen. G: {granularity}.</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Compares predicted polygons with reference polygons, one to one: precision and recall of objects, IoU, over- and under-segmentation, and how true the outlines are.

Where the reference is complete only in some areas, give these as polygons: nothing else is judged.</source>
        <translation>Vergleicht vorhergesagte Polygone eins zu eins mit Referenzpolygonen: Genauigkeit und Trefferquote der Objekte, IoU, Über- und Untersegmentierung, und wie genau die Umrisse sind.

Ist die Referenz nur in manchen Gebieten vollständig, geben Sie diese als Polygone an: Nur dort wird bewertet.</translation>
    </message>
    <message>
        <source>Continue with the selected polygon</source>
        <translation>Mit dem gewählten Polygon weitermachen</translation>
    </message>
    <message>
        <source>Copy report</source>
        <translation>Bericht kopieren</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>Gerät</translation>
    </message>
    <message>
        <source>Diagnose…</source>
        <translation>Diagnose…</translation>
    </message>
    <message>
        <source>Done.</source>
        <translation>Fertig.</translation>
    </message>
    <message>
        <source>Drop what an interrupted run has done</source>
        <translation>Verwerfen, was ein unterbrochener Lauf getan hat</translation>
    </message>
    <message>
        <source>Evaluate polygons</source>
        <translation>Polygone bewerten</translation>
    </message>
    <message>
        <source>Evaluation</source>
        <translation>Bewertung</translation>
    </message>
    <message>
        <source>Export the view to a file</source>
        <translation>Ansicht in eine Datei exportieren</translation>
    </message>
    <message>
        <source>Extent</source>
        <translation>Ausdehnung</translation>
    </message>
    <message>
        <source>F1</source>
        <translation>F1</translation>
    </message>
    <message>
        <source>F1 of outlines</source>
        <translation>F1 der Umrisse</translation>
    </message>
    <message>
        <source>Fill holes up to (square metres)</source>
        <translation>Löcher füllen bis (Quadratmeter)</translation>
    </message>
    <message>
        <source>Findings</source>
        <translation>Befunde</translation>
    </message>
    <message>
        <source>Finds all objects of a raster, as large as it may be, and gives each as one polygon, with its area, perimeter and score.

The polygons are in the raster's CRS (longitude and latitude in GeoJSON). A run that was cancelled goes on where it stopped when the same output file and parameters are given again.</source>
        <translation>Findet alle Objekte eines beliebig großen Rasters und gibt jedes als ein Polygon aus, mit Fläche, Umfang und Bewertung.

Die Polygone haben das KBS des Rasters (in GeoJSON Länge und Breite). Ein abgebrochener Lauf geht dort weiter, wo er endete, wenn dieselbe Ausgabedatei und dieselben Parameter noch einmal angegeben werden.</translation>
    </message>
    <message>
        <source>Finds one object for each feature of a layer: the one a point lies in, or the one a polygon surrounds or sketches. The layer may have any CRS; only selected features can be used.

A field object_id gathers several features into one object; a field label tells points that include (1) from points that exclude (0); a field granularity says what is meant by a click: auto, part, whole or group. Other fields are handed on to the polygons.</source>
        <translation>Findet zu jeder Vorgabe eines Layers ein Objekt: das, in dem ein Punkt liegt, oder das, das ein Polygon umgibt oder skizziert. Der Layer darf jedes KBS haben; auf Wunsch zählt nur, was gewählt ist.

Ein Feld object_id fasst mehrere Vorgaben zu einem Objekt zusammen; ein Feld label unterscheidet Punkte, die dazugehören (1), von Punkten, die nicht dazugehören (0); ein Feld granularity sagt, was ein Klick meint: auto, part, whole oder group. Andere Felder werden an die Polygone weitergegeben.</translation>
    </message>
    <message>
        <source>Folder of wheels, offline</source>
        <translation>Ordner mit Wheels, ohne Netz</translation>
    </message>
    <message>
        <source>From</source>
        <translation>Von</translation>
    </message>
    <message>
        <source>From band values to 8 bits: auto, none, MIN,MAX or percentiles as in p2,p98.</source>
        <translation>Von Kanalwerten zu 8 Bit: auto, none, MIN,MAX oder Perzentile wie in p2,p98.</translation>
    </message>
    <message>
        <source>GeoPackage (*.gpkg)</source>
        <translation>GeoPackage (*.gpkg)</translation>
    </message>
    <message>
        <source>Ground size of a pixel to work at. The raster's own if empty.</source>
        <translation>Bodengröße eines Pixels, mit der gearbeitet wird. Wenn leer, die des Rasters.</translation>
    </message>
    <message>
        <source>HTML files (*.html)</source>
        <translation>HTML-Dateien (*.html)</translation>
    </message>
    <message>
        <source>Help</source>
        <translation>Hilfe</translation>
    </message>
    <message>
        <source>How far apart matching outlines may be. From the objects' size if empty.</source>
        <translation>Wie weit passende Umrisse auseinanderliegen dürfen. Wenn leer, nach der Größe der Objekte.</translation>
    </message>
    <message>
        <source>How it ended lately</source>
        <translation>Wie er zuletzt endete</translation>
    </message>
    <message>
        <source>Install</source>
        <translation>Installieren</translation>
    </message>
    <message>
        <source>Install a worker, or choose another one: see Diagnose.</source>
        <translation>Installieren Sie einen Worker, oder wählen Sie einen anderen: siehe Diagnose.</translation>
    </message>
    <message>
        <source>Install one from python.org or docs.astral.sh/uv, or name its path.</source>
        <translation>Installieren Sie eines von python.org oder docs.astral.sh/uv, oder geben Sie seinen Pfad an.</translation>
    </message>
    <message>
        <source>Install one, or choose one.</source>
        <translation>Installieren Sie einen, oder wählen Sie einen.</translation>
    </message>
    <message>
        <source>Install…</source>
        <translation>Installieren…</translation>
    </message>
    <message>
        <source>IoU that makes a match</source>
        <translation>IoU, ab der zwei zueinander passen</translation>
    </message>
    <message>
        <source>It has not answered yet.</source>
        <translation>Er hat noch nicht geantwortet.</translation>
    </message>
    <message>
        <source>It runs: geosam {}, protocol {}.</source>
        <translation>Er läuft: geosam {}, Protokoll {}.</translation>
    </message>
    <message>
        <source>It said: {}</source>
        <translation>Es hieß: {}</translation>
    </message>
    <message>
        <source>JSON files (*.json)</source>
        <translation>JSON-Dateien (*.json)</translation>
    </message>
    <message>
        <source>Judge only within</source>
        <translation>Nur innerhalb bewerten</translation>
    </message>
    <message>
        <source>Keeps what a model saw of each tile, so that other runs over the raster are quicker.</source>
        <translation>Behält, was ein Modell von jeder Kachel gesehen hat, damit weitere Läufe über das Raster schneller sind.</translation>
    </message>
    <message>
        <source>Largest shift of outlines.</source>
        <translation>Größte Verschiebung der Umrisse.</translation>
    </message>
    <message>
        <source>Layout</source>
        <translation>Anordnung</translation>
    </message>
    <message>
        <source>Least predicted IoU of a mask</source>
        <translation>Kleinste erwartete IoU einer Maske</translation>
    </message>
    <message>
        <source>Least stability of a mask</source>
        <translation>Kleinste Stabilität einer Maske</translation>
    </message>
    <message>
        <source>Leave out parts that cannot be read</source>
        <translation>Auslassen, was nicht gelesen werden kann</translation>
    </message>
    <message>
        <source>Leave out prompts outside the raster</source>
        <translation>Vorgaben außerhalb des Rasters auslassen</translation>
    </message>
    <message>
        <source>Level of detail</source>
        <translation>Detailstufe</translation>
    </message>
    <message>
        <source>Looking…</source>
        <translation>Sieht hin…</translation>
    </message>
    <message>
        <source>Looking… {count} accepted objects are on their way.</source>
        <translation>Sieht hin… {count} übernommene Objekte sind unterwegs.</translation>
    </message>
    <message>
        <source>Making an environment with {} in {}.</source>
        <translation>Mit {} wird in {} eine Umgebung angelegt.</translation>
    </message>
    <message>
        <source>Matched, at an IoU of {}</source>
        <translation>Passend, bei einer IoU von {}</translation>
    </message>
    <message>
        <source>Mean IoU</source>
        <translation>Mittlere IoU</translation>
    </message>
    <message>
        <source>Mean IoU of the matched</source>
        <translation>Mittlere IoU der passenden</translation>
    </message>
    <message>
        <source>Mean best IoU of the reference</source>
        <translation>Mittlere beste IoU der Referenz</translation>
    </message>
    <message>
        <source>Minimal area</source>
        <translation>Mindestfläche</translation>
    </message>
    <message>
        <source>Minimal area (square metres)</source>
        <translation>Mindestfläche (Quadratmeter)</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Models whose weights are here: {}.</source>
        <translation>Modelle, deren Gewichte hier sind: {}.</translation>
    </message>
    <message>
        <source>Name the file that the objects are written to.</source>
        <translation>Geben Sie die Datei an, in die die Objekte geschrieben werden.</translation>
    </message>
    <message>
        <source>Neither the project nor the raster has a CRS. Set the project's CRS.</source>
        <translation>Weder das Projekt noch das Raster hat ein KBS. Legen Sie das KBS des Projekts fest.</translation>
    </message>
    <message>
        <source>Neither uv nor a Python from {}.{} to {}.{} with venv was found, but {}. </source>
        <translation>Weder uv noch ein Python von {}.{} bis {}.{} mit venv wurde gefunden, aber {}. </translation>
    </message>
    <message>
        <source>New layer for objects</source>
        <translation>Neuer Layer für Objekte</translation>
    </message>
    <message>
        <source>New layer when an object is accepted</source>
        <translation>Neuer Layer, wenn ein Objekt übernommen wird</translation>
    </message>
    <message>
        <source>New…</source>
        <translation>Neu…</translation>
    </message>
    <message>
        <source>No geosam worker was found. Install one, or choose one: see Diagnose.</source>
        <translation>Es wurde kein geosam-Worker gefunden. Installieren oder wählen Sie einen: siehe Diagnose.</translation>
    </message>
    <message>
        <source>No worker.</source>
        <translation>Kein Worker.</translation>
    </message>
    <message>
        <source>Nothing is left of the object in the CRS of {name}.</source>
        <translation>Vom Objekt bleibt im KBS von {name} nichts übrig.</translation>
    </message>
    <message>
        <source>Nothing was found here. Click elsewhere, or draw a box.</source>
        <translation>Hier wurde nichts gefunden. Klicken Sie woanders hin, oder ziehen Sie einen Rahmen.</translation>
    </message>
    <message>
        <source>Number of objects</source>
        <translation>Anzahl der Objekte</translation>
    </message>
    <message>
        <source>Numbers</source>
        <translation>Zahlen</translation>
    </message>
    <message>
        <source>Objects</source>
        <translation>Objekte</translation>
    </message>
    <message>
        <source>One of `geosam models`, or a file of weights.</source>
        <translation>Eines von `geosam models`, oder eine Datei mit Gewichten.</translation>
    </message>
    <message>
        <source>Only this part is looked at. Everything if empty.</source>
        <translation>Nur dieser Teil wird angesehen. Wenn leer, alles.</translation>
    </message>
    <message>
        <source>Output file</source>
        <translation>Ausgabedatei</translation>
    </message>
    <message>
        <source>Output layer</source>
        <translation>Ausgabelayer</translation>
    </message>
    <message>
        <source>Over-segmentation</source>
        <translation>Übersegmentierung</translation>
    </message>
    <message>
        <source>Overlap of tiles (pixels)</source>
        <translation>Überlappung der Kacheln (Pixel)</translation>
    </message>
    <message>
        <source>Overlap: {} pixels, less than the tile size wanted ({}).</source>
        <translation>Überlappung: {} Pixel; weniger als die Kachelgröße ({}) wird erwartet.</translation>
    </message>
    <message>
        <source>Overlapping: objects as found</source>
        <translation>Überlappend: Objekte wie gefunden</translation>
    </message>
    <message>
        <source>Package index (PyPI)</source>
        <translation>Paketverzeichnis (PyPI)</translation>
    </message>
    <message>
        <source>Panel</source>
        <translation>Bedienfeld</translation>
    </message>
    <message>
        <source>Path of uv, or of a Python interpreter; empty: found</source>
        <translation>Pfad von uv oder einem Python-Interpreter; leer: wird gesucht</translation>
    </message>
    <message>
        <source>Planar: no overlaps</source>
        <translation>Planar: ohne Überlappungen</translation>
    </message>
    <message>
        <source>Polygons inside which the reference is complete.</source>
        <translation>Polygone, in denen die Referenz vollständig ist.</translation>
    </message>
    <message>
        <source>Precision</source>
        <translation>Genauigkeit</translation>
    </message>
    <message>
        <source>Precision of outlines, within {} m</source>
        <translation>Genauigkeit der Umrisse, innerhalb von {} m</translation>
    </message>
    <message>
        <source>Predicted against reference polygons</source>
        <translation>Vorhergesagte Polygone gegen Referenzpolygone</translation>
    </message>
    <message>
        <source>Predicted area (square metres)</source>
        <translation>Vorhergesagte Fläche (Quadratmeter)</translation>
    </message>
    <message>
        <source>Predicted objects</source>
        <translation>Vorhergesagte Objekte</translation>
    </message>
    <message>
        <source>Predicted polygons</source>
        <translation>Vorhergesagte Polygone</translation>
    </message>
    <message>
        <source>Programs</source>
        <translation>Programme</translation>
    </message>
    <message>
        <source>Prompt layer</source>
        <translation>Vorgabenlayer</translation>
    </message>
    <message>
        <source>Prompt layer: {} has no CRS. Set it in its properties.</source>
        <translation>Vorgabenlayer: {} hat kein KBS. Legen Sie es in seinen Eigenschaften fest.</translation>
    </message>
    <message>
        <source>Proxy of QGIS</source>
        <translation>Proxy von QGIS</translation>
    </message>
    <message>
        <source>Python or uv</source>
        <translation>Python oder uv</translation>
    </message>
    <message>
        <source>QGIS itself is not changed.</source>
        <translation>QGIS selbst wird nicht verändert.</translation>
    </message>
    <message>
        <source>Raster</source>
        <translation>Raster</translation>
    </message>
    <message>
        <source>Raster layer</source>
        <translation>Rasterlayer</translation>
    </message>
    <message>
        <source>Ready.</source>
        <translation>Bereit.</translation>
    </message>
    <message>
        <source>Recall</source>
        <translation>Trefferquote</translation>
    </message>
    <message>
        <source>Recall of outlines</source>
        <translation>Trefferquote der Umrisse</translation>
    </message>
    <message>
        <source>Recent objects (click: show, double click: go on with it)</source>
        <translation>Letzte Objekte (Klick: zeigen, Doppelklick: damit weitermachen)</translation>
    </message>
    <message>
        <source>Red, green, blue, or one as grey. By their colour interpretation if empty.</source>
        <translation>Rot, Grün, Blau, oder einer als Grau. Wenn leer, nach ihrer Farbinterpretation.</translation>
    </message>
    <message>
        <source>Reference</source>
        <translation>Referenz</translation>
    </message>
    <message>
        <source>Reference area (square metres)</source>
        <translation>Referenzfläche (Quadratmeter)</translation>
    </message>
    <message>
        <source>Reference objects</source>
        <translation>Referenzobjekte</translation>
    </message>
    <message>
        <source>Reference polygons</source>
        <translation>Referenzpolygone</translation>
    </message>
    <message>
        <source>Report</source>
        <translation>Bericht</translation>
    </message>
    <message>
        <source>Resolution</source>
        <translation>Auflösung</translation>
    </message>
    <message>
        <source>Resolution (metres)</source>
        <translation>Auflösung (Meter)</translation>
    </message>
    <message>
        <source>Save prompts</source>
        <translation>Vorgaben speichern</translation>
    </message>
    <message>
        <source>Save prompts…</source>
        <translation>Vorgaben speichern…</translation>
    </message>
    <message>
        <source>Segment object</source>
        <translation>Objekt segmentieren</translation>
    </message>
    <message>
        <source>Segment objects</source>
        <translation>Objekte segmentieren</translation>
    </message>
    <message>
        <source>Segment raster</source>
        <translation>Raster segmentieren</translation>
    </message>
    <message>
        <source>Segment view…</source>
        <translation>Ansicht segmentieren…</translation>
    </message>
    <message>
        <source>Segment whole layer</source>
        <translation>Ganzen Layer segmentieren</translation>
    </message>
    <message>
        <source>Segment whole layer…</source>
        <translation>Ganzen Layer segmentieren…</translation>
    </message>
    <message>
        <source>Segment with prompt layer</source>
        <translation>Mit Vorgabenlayer segmentieren</translation>
    </message>
    <message>
        <source>Segmentation</source>
        <translation>Segmentierung</translation>
    </message>
    <message>
        <source>Select features of the active layer, or choose another extent.</source>
        <translation>Wählen Sie Objekte des aktiven Layers aus, oder eine andere Ausdehnung.</translation>
    </message>
    <message>
        <source>Select one polygon of the output layer, or hold Alt and click it.</source>
        <translation>Wählen Sie ein Polygon des Ausgabelayers, oder klicken Sie es mit gedrückter Alt-Taste an.</translation>
    </message>
    <message>
        <source>Simplify</source>
        <translation>Vereinfachen</translation>
    </message>
    <message>
        <source>Simplify (metres)</source>
        <translation>Vereinfachen (Meter)</translation>
    </message>
    <message>
        <source>Smaller objects are left out.</source>
        <translation>Kleinere Objekte werden ausgelassen.</translation>
    </message>
    <message>
        <source>Stretch</source>
        <translation>Streckung</translation>
    </message>
    <message>
        <source>Superseded.</source>
        <translation>Überholt.</translation>
    </message>
    <message>
        <source>The environment variable {} still names another worker.</source>
        <translation>Die Umgebungsvariable {} nennt noch einen anderen Worker.</translation>
    </message>
    <message>
        <source>The extent has no place in the CRS of {}. Zoom in.</source>
        <translation>Die Ausdehnung hat im KBS von {} keinen Platz. Zoomen Sie hinein.</translation>
    </message>
    <message>
        <source>The file is shown as the layer {}. Remove the layer, or choose another file.</source>
        <translation>Die Datei wird als Layer {} gezeigt. Entfernen Sie den Layer, oder wählen Sie eine andere Datei.</translation>
    </message>
    <message>
        <source>The layer {name} cannot be edited. Choose another output layer, or a new one.</source>
        <translation>Der Layer {name} lässt sich nicht bearbeiten. Wählen Sie einen anderen Ausgabelayer, oder einen neuen.</translation>
    </message>
    <message>
        <source>The layer {name} did not take the object.</source>
        <translation>Der Layer {name} hat das Objekt nicht angenommen.</translation>
    </message>
    <message>
        <source>The model is being loaded…</source>
        <translation>Das Modell wird geladen…</translation>
    </message>
    <message>
        <source>The model's own if empty.</source>
        <translation>Wenn leer, der Wert des Modells.</translation>
    </message>
    <message>
        <source>The new worker does not work. {}</source>
        <translation>Der neue Worker funktioniert nicht. {}</translation>
    </message>
    <message>
        <source>The object has {area:.1f} m², at least {least:g} m² wanted. Lower the minimal area to keep it.</source>
        <translation>Das Objekt hat {area:.1f} m², mindestens {least:g} m² werden erwartet. Senken Sie die Mindestfläche, um es zu behalten.</translation>
    </message>
    <message>
        <source>The output cannot be written: {}</source>
        <translation>Die Ausgabe lässt sich nicht schreiben: {}</translation>
    </message>
    <message>
        <source>The output is shown as the layer {}. Remove the layer, or choose another file.</source>
        <translation>Die Ausgabe wird als Layer {} gezeigt. Entfernen Sie den Layer, oder wählen Sie eine andere Datei.</translation>
    </message>
    <message>
        <source>The output layer has no polygons that remember their prompts.</source>
        <translation>Der Ausgabelayer hat keine Polygone, die ihre Vorgaben behalten haben.</translation>
    </message>
    <message>
        <source>The output layer is gone. Choose another one, and accept the object again.</source>
        <translation>Der Ausgabelayer ist nicht mehr da. Wählen Sie einen anderen, und übernehmen Sie das Objekt noch einmal.</translation>
    </message>
    <message>
        <source>The picture could not be written: {}. Check the disk.</source>
        <translation>Das Bild konnte nicht geschrieben werden: {}. Prüfen Sie den Datenträger.</translation>
    </message>
    <message>
        <source>The program geosam, which does the work, was not found. Install it from the plugin's panel in QGIS, or with `uv tool install geosam-toolkit`, or name it in the environment variable GEOSAM_WORKER.</source>
        <translation>Das Programm geosam, das die Arbeit tut, wurde nicht gefunden. Installieren Sie es im Bedienfeld der Erweiterung in QGIS oder mit `uv tool install geosam-toolkit`, oder nennen Sie es in der Umgebungsvariablen GEOSAM_WORKER.</translation>
    </message>
    <message>
        <source>The prompts of {count} objects are in {path}.</source>
        <translation>Die Vorgaben von {count} Objekten sind in {path}.</translation>
    </message>
    <message>
        <source>The report cannot be written: {}</source>
        <translation>Der Bericht lässt sich nicht schreiben: {}</translation>
    </message>
    <message>
        <source>The server has delivered nothing for this view. Check the connection, or zoom to where there is data.</source>
        <translation>Der Server hat für diese Ansicht nichts geliefert. Prüfen Sie die Verbindung, oder zoomen Sie dorthin, wo es Daten gibt.</translation>
    </message>
    <message>
        <source>The worker</source>
        <translation>Der Worker</translation>
    </message>
    <message>
        <source>The worker crashed ({}). What it printed is in the message log, tab geosam.</source>
        <translation>Der Worker ist abgestürzt ({}). Was er ausgab, steht im Protokoll, Reiter geosam.</translation>
    </message>
    <message>
        <source>The worker does not keep up.</source>
        <translation>Der Worker kommt nicht nach.</translation>
    </message>
    <message>
        <source>The worker ended by itself with exit code {}.</source>
        <translation>Der Worker endete von selbst mit Code {}.</translation>
    </message>
    <message>
        <source>The worker ended {} times within a minute and is not started again until that is seen to. {}</source>
        <translation>Der Worker endete {}-mal in einer Minute und wird nicht wieder gestartet, bis das behoben ist. {}</translation>
    </message>
    <message>
        <source>The worker is not running. It starts with the first click.</source>
        <translation>Der Worker läuft nicht. Er startet mit dem ersten Klick.</translation>
    </message>
    <message>
        <source>The worker is starting…</source>
        <translation>Der Worker startet…</translation>
    </message>
    <message>
        <source>The worker was stopped.</source>
        <translation>Der Worker wurde angehalten.</translation>
    </message>
    <message>
        <source>The worker {} could not be started: {}.</source>
        <translation>Der Worker {} ließ sich nicht starten: {}.</translation>
    </message>
    <message>
        <source>The worker {} speaks protocol {}, this plugin speaks protocol {}.</source>
        <translation>Der Worker {} spricht Protokoll {}, diese Erweiterung spricht Protokoll {}.</translation>
    </message>
    <message>
        <source>There is no polygon of {name} here.</source>
        <translation>Hier ist kein Polygon von {name}.</translation>
    </message>
    <message>
        <source>There is no worker at {}, which the settings name.</source>
        <translation>Bei {}, das die Einstellungen nennen, ist kein Worker.</translation>
    </message>
    <message>
        <source>This object is not in its layer any more. It is drafted as a new one.</source>
        <translation>Dieses Objekt ist nicht mehr in seinem Layer. Es wird als neues entworfen.</translation>
    </message>
    <message>
        <source>This place has no coordinates in {target} (it was given in {source}). Choose another CRS.</source>
        <translation>Dieser Ort hat keine Koordinaten in {target} (angegeben war er in {source}). Wählen Sie ein anderes KBS.</translation>
    </message>
    <message>
        <source>Tile size (pixels)</source>
        <translation>Kachelgröße (Pixel)</translation>
    </message>
    <message>
        <source>Tolerance of outlines (metres)</source>
        <translation>Toleranz der Umrisse (Meter)</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal</translation>
    </message>
    <message>
        <source>Trying the worker.</source>
        <translation>Der Worker wird ausprobiert.</translation>
    </message>
    <message>
        <source>Under-segmentation</source>
        <translation>Untersegmentierung</translation>
    </message>
    <message>
        <source>Update the package geosam-toolkit.</source>
        <translation>Aktualisieren Sie das Paket geosam-toolkit.</translation>
    </message>
    <message>
        <source>Update the plugin.</source>
        <translation>Aktualisieren Sie die Erweiterung.</translation>
    </message>
    <message>
        <source>Update the worker: the package geosam-toolkit.</source>
        <translation>Aktualisieren Sie den Worker: das Paket geosam-toolkit.</translation>
    </message>
    <message>
        <source>Use an NVIDIA GPU (a much larger download)</source>
        <translation>Eine NVIDIA-GPU verwenden (viel größerer Download)</translation>
    </message>
    <message>
        <source>Variables of QGIS that the worker does not get</source>
        <translation>Variablen von QGIS, die der Worker nicht bekommt</translation>
    </message>
    <message>
        <source>View</source>
        <translation>Ansicht</translation>
    </message>
    <message>
        <source>What it printed last</source>
        <translation>Was er zuletzt ausgab</translation>
    </message>
    <message>
        <source>What was finished is kept: the same call goes on from there.</source>
        <translation>Was fertig war, bleibt erhalten: Derselbe Aufruf macht dort weiter.</translation>
    </message>
    <message>
        <source>Wheel file</source>
        <translation>Wheel-Datei</translation>
    </message>
    <message>
        <source>Where a worker was looked for</source>
        <translation>Wo nach einem Worker gesucht wurde</translation>
    </message>
    <message>
        <source>Where is it to be installed from?</source>
        <translation>Von wo soll installiert werden?</translation>
    </message>
    <message>
        <source>Where the layer does not say it itself; auto is what the model finds best.</source>
        <translation>Wo der Layer es nicht selbst sagt; auto ist, was das Modell am besten findet.</translation>
    </message>
    <message>
        <source>Whole layer</source>
        <translation>Ganzer Layer</translation>
    </message>
    <message>
        <source>Worker: {} ({}).</source>
        <translation>Worker: {} ({}).</translation>
    </message>
    <message>
        <source>a CRS of its own</source>
        <translation>ein eigenes KBS</translation>
    </message>
    <message>
        <source>a removed layer</source>
        <translation>einem entfernten Layer</translation>
    </message>
    <message>
        <source>accuracy,assessment,iou,precision,recall,f1,validation,compare,polygons</source>
        <translation>Genauigkeit,Bewertung,IoU,Trefferquote,F1,Validierung,Vergleich,Polygone</translation>
    </message>
    <message>
        <source>automatic</source>
        <translation>automatisch</translation>
    </message>
    <message>
        <source>box: the object inside its bounds</source>
        <translation>Rahmen: das Objekt darin</translation>
    </message>
    <message>
        <source>choose one</source>
        <translation>eines wählen</translation>
    </message>
    <message>
        <source>environment variable {}</source>
        <translation>Umgebungsvariable {}</translation>
    </message>
    <message>
        <source>folder of uv or pipx</source>
        <translation>Ordner von uv oder pipx</translation>
    </message>
    <message>
        <source>geosam</source>
        <translation>geosam</translation>
    </message>
    <message>
        <source>geosam and the libraries it needs are installed in an environment of their own, in {}. </source>
        <translation>geosam und die Bibliotheken, die es braucht, werden in einer eigenen Umgebung installiert, in {}. </translation>
    </message>
    <message>
        <source>geosam: diagnose</source>
        <translation>geosam: Diagnose</translation>
    </message>
    <message>
        <source>geosam: install the worker</source>
        <translation>geosam: Worker installieren</translation>
    </message>
    <message>
        <source>geosam: picture of {}</source>
        <translation>geosam: Bild von {}</translation>
    </message>
    <message>
        <source>geosam: segment {}</source>
        <translation>geosam: {} segmentieren</translation>
    </message>
    <message>
        <source>group</source>
        <translation>Gruppe</translation>
    </message>
    <message>
        <source>mask: the object it sketches</source>
        <translation>Maske: das Objekt, das es skizziert</translation>
    </message>
    <message>
        <source>no layer in it</source>
        <translation>kein Layer darin</translation>
    </message>
    <message>
        <source>none</source>
        <translation>keine</translation>
    </message>
    <message>
        <source>not given</source>
        <translation>nicht angegeben</translation>
    </message>
    <message>
        <source>nothing</source>
        <translation>nichts</translation>
    </message>
    <message>
        <source>overlapping: objects as found</source>
        <translation>überlappend: Objekte wie gefunden</translation>
    </message>
    <message>
        <source>part</source>
        <translation>Teil</translation>
    </message>
    <message>
        <source>planar: no overlaps</source>
        <translation>planar: ohne Überlappungen</translation>
    </message>
    <message>
        <source>segmentation,objects,polygons,vectorize,polygonize,segment anything,sam,roofs,fields,crowns,imagery</source>
        <translation>Segmentierung,Objekte,Polygone,vektorisieren,polygonisieren,segment anything,sam,Dächer,Felder,Kronen,Luftbild</translation>
    </message>
    <message>
        <source>segmentation,prompts,points,boxes,clicks,segment anything,sam,polygons,digitize</source>
        <translation>Segmentierung,Vorgaben,Punkte,Rahmen,Klicks,segment anything,sam,Polygone,digitalisieren</translation>
    </message>
    <message>
        <source>setting</source>
        <translation>Einstellung</translation>
    </message>
    <message>
        <source>signal {}</source>
        <translation>Signal {}</translation>
    </message>
    <message>
        <source>signal {} {}</source>
        <translation>Signal {} {}</translation>
    </message>
    <message>
        <source>signal {} {}; the system does that where memory runs out</source>
        <translation>Signal {} {}; das tut das System, wenn der Speicher ausgeht</translation>
    </message>
    <message>
        <source>the plugin's own environment</source>
        <translation>die eigene Umgebung der Erweiterung</translation>
    </message>
    <message>
        <source>the raster's own</source>
        <translation>die des Rasters</translation>
    </message>
    <message>
        <source>whole</source>
        <translation>Ganzes</translation>
    </message>
    <message>
        <source>{:.0f} s ago: {}</source>
        <translation>vor {:.0f} s: {}</translation>
    </message>
    <message>
        <source>{:.1f} GB are free in {}, about {:.1f} GB may be needed.</source>
        <translation>{:.1f} GB sind in {} frei, etwa {:.1f} GB können nötig sein.</translation>
    </message>
    <message>
        <source>{:.1f} GB are free in {}.</source>
        <translation>{:.1f} GB sind in {} frei.</translation>
    </message>
    <message>
        <source>{about}. Its weights are not here: run `geosam models download {name}`.</source>
        <translation>{about}. Seine Gewichte sind nicht hier: Führen Sie `geosam models download {name}` aus.</translation>
    </message>
    <message>
        <source>{area:,.1f} m² in {layer}</source>
        <translation>{area:,.1f} m² in {layer}</translation>
    </message>
    <message>
        <source>{model}, score {score}</source>
        <translation>{model}, Bewertung {score}</translation>
    </message>
    <message>
        <source>{name}, view</source>
        <translation>{name}, Ansicht</translation>
    </message>
    <message>
        <source>{name}: {count} objects in {seconds:.0f} s, written to {out}.</source>
        <translation>{name}: {count} Objekte in {seconds:.0f} s, geschrieben nach {out}.</translation>
    </message>
    <message>
        <source>{path} cannot be written: {problem}. Choose another folder.</source>
        <translation>{path} lässt sich nicht schreiben: {problem}. Wählen Sie einen anderen Ordner.</translation>
    </message>
    <message>
        <source>{path} exists. Choose a name that does not, or choose that file's layer as the output.</source>
        <translation>{path} gibt es schon. Wählen Sie einen anderen Namen, oder den Layer dieser Datei als Ausgabe.</translation>
    </message>
    <message>
        <source>{} (being segmented)</source>
        <translation>{} (wird segmentiert)</translation>
    </message>
    <message>
        <source>{} (not finished)</source>
        <translation>{} (nicht fertig)</translation>
    </message>
    <message>
        <source>{} A picture of it is taken first.</source>
        <translation>{} Zuerst wird ein Bild davon aufgenommen.</translation>
    </message>
    <message>
        <source>{} Say at which resolution its picture is to be taken.</source>
        <translation>{} Geben Sie an, mit welcher Auflösung sein Bild aufgenommen werden soll.</translation>
    </message>
    <message>
        <source>{} Say at which resolution.</source>
        <translation>{} Geben Sie an, mit welcher Auflösung.</translation>
    </message>
    <message>
        <source>{} cannot be read. Check the layer's source.</source>
        <translation>{} lässt sich nicht lesen. Prüfen Sie die Quelle des Layers.</translation>
    </message>
    <message>
        <source>{} could not be removed; it is not used.</source>
        <translation>{} ließ sich nicht entfernen; es wird nicht benutzt.</translation>
    </message>
    <message>
        <source>{} does not speak as a geosam worker does: {}.</source>
        <translation>{} spricht nicht wie ein geosam-Worker: {}.</translation>
    </message>
    <message>
        <source>{} exists. Press OK again to replace it.</source>
        <translation>{} gibt es schon. Drücken Sie noch einmal OK, um es zu ersetzen.</translation>
    </message>
    <message>
        <source>{} failed: {}</source>
        <translation>{} ist fehlgeschlagen: {}</translation>
    </message>
    <message>
        <source>{} has no CRS. Set it in the layer's properties.</source>
        <translation>{} hat kein KBS. Legen Sie es in den Layereigenschaften fest.</translation>
    </message>
    <message>
        <source>{} has no program geosam after the installation.</source>
        <translation>{} hat nach der Installation kein Programm geosam.</translation>
    </message>
    <message>
        <source>{} is neither a file nor a folder.</source>
        <translation>{} ist weder eine Datei noch ein Ordner.</translation>
    </message>
    <message>
        <source>{} is neither a geosam program nor a Python interpreter nor an environment.</source>
        <translation>{} ist weder ein geosam-Programm noch ein Python-Interpreter noch eine Umgebung.</translation>
    </message>
    <message>
        <source>{} is not a file, but comes from a service.</source>
        <translation>{} ist keine Datei, sondern kommt von einem Dienst.</translation>
    </message>
    <message>
        <source>{} is part of another file or inside an archive, or opened with options. Save it as a GeoTIFF.</source>
        <translation>{} ist Teil einer anderen Datei, liegt in einem Archiv oder ist mit Optionen geöffnet. Speichern Sie es als GeoTIFF.</translation>
    </message>
    <message>
        <source>{} is shown in {}, but its file says {}. Set the layer's CRS back, or assign it to the file.</source>
        <translation>{} wird in {} gezeigt, aber seine Datei sagt {}. Setzen Sie das KBS des Layers zurück, oder weisen Sie es der Datei zu.</translation>
    </message>
    <message>
        <source>{} is too old for this plugin: it has no command worker.</source>
        <translation>{} ist zu alt für diese Erweiterung: Es hat keinen Befehl worker.</translation>
    </message>
    <message>
        <source>{} objects from {} tiles in {} s</source>
        <translation>{} Objekte aus {} Kacheln in {} s</translation>
    </message>
    <message>
        <source>{} of {} tiles failed and are missing: {}</source>
        <translation>{} von {} Kacheln sind fehlgeschlagen und fehlen: {}</translation>
    </message>
    <message>
        <source>{} shows nothing here.</source>
        <translation>{} zeigt hier nichts.</translation>
    </message>
    <message>
        <source>{} was cancelled after {} objects. The same command, with the same file, goes on from there.</source>
        <translation>{} wurde nach {} Objekten abgebrochen. Derselbe Befehl mit derselben Datei macht dort weiter.</translation>
    </message>
    <message>
        <source>{} was cancelled.</source>
        <translation>{} wurde abgebrochen.</translation>
    </message>
    <message>
        <source>{} x {} pixels are too many, at most {} million are fetched. Zoom in, or choose a coarser resolution.</source>
        <translation>{} x {} Pixel sind zu viele, höchstens {} Millionen werden geholt. Zoomen Sie hinein, oder wählen Sie eine gröbere Auflösung.</translation>
    </message>
</context>
</TS>
