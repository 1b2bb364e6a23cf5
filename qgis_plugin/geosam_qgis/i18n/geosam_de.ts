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
        <source>A geosam program, or the Python interpreter of its environment</source>
        <translation>Ein geosam-Programm oder der Python-Interpreter seiner Umgebung</translation>
    </message>
    <message>
        <source>A layer cannot be copied for the worker: {}</source>
        <translation>Ein Layer lässt sich nicht für den Worker kopieren: {}</translation>
    </message>
    <message>
        <source>A newer request took its place.</source>
        <translation>Eine neuere Anfrage ist an ihre Stelle getreten.</translation>
    </message>
    <message>
        <source>A polygon stands for</source>
        <translation>Ein Polygon steht für</translation>
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
        <source>Another layer is being segmented. Wait until it is done, or cancel it in the list of tasks.</source>
        <translation>Ein anderer Layer wird gerade segmentiert. Warten Sie, bis er fertig ist, oder brechen Sie ihn in der Aufgabenliste ab.</translation>
    </message>
    <message>
        <source>Areas in which the reference is complete.</source>
        <translation>Gebiete, in denen die Referenz vollständig ist.</translation>
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
        <source>Bands: found {}, expected one or three.</source>
        <translation>Kanäle: {} gewählt, einer oder drei erwartet.</translation>
    </message>
    <message>
        <source>CRS of the prompt layer</source>
        <translation>KBS des Vorgabenlayers</translation>
    </message>
    <message>
        <source>CRS of the raster layer</source>
        <translation>KBS des Rasterlayers</translation>
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
        <source>Check the CRS of the layer in its properties.</source>
        <translation>Prüfen Sie das KBS des Layers in dessen Eigenschaften.</translation>
    </message>
    <message>
        <source>Check the CRS of the prompt layer and of the raster layer in their properties.</source>
        <translation>Prüfen Sie das KBS des Vorgabenlayers und des Rasterlayers in deren Eigenschaften.</translation>
    </message>
    <message>
        <source>Check the CRS of the prompt layer, or leave out prompts outside the raster.</source>
        <translation>Prüfen Sie das KBS des Vorgabenlayers, oder lassen Sie Vorgaben außerhalb des Rasters weg.</translation>
    </message>
    <message>
        <source>Choose a folder that exists.</source>
        <translation>Wählen Sie einen Ordner, den es gibt.</translation>
    </message>
    <message>
        <source>Choose a model of the list, or a file with weights.</source>
        <translation>Wählen Sie ein Modell der Liste oder eine Datei mit Gewichten.</translation>
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
        <source>Choose a resolution closer to that of the raster.</source>
        <translation>Wählen Sie eine Auflösung, die näher an der des Rasters liegt.</translation>
    </message>
    <message>
        <source>Choose a smaller extent or a coarser resolution.</source>
        <translation>Wählen Sie eine kleinere Ausdehnung oder eine gröbere Auflösung.</translation>
    </message>
    <message>
        <source>Choose a smaller model, or close other programs.</source>
        <translation>Wählen Sie ein kleineres Modell, oder schließen Sie andere Programme.</translation>
    </message>
    <message>
        <source>Choose a smaller tile size and start again. Finished tiles are kept.</source>
        <translation>Wählen Sie eine kleinere Kachelgröße, und starten Sie noch einmal. Fertige Kacheln bleiben erhalten.</translation>
    </message>
    <message>
        <source>Choose an extent inside the raster.</source>
        <translation>Wählen Sie eine Ausdehnung innerhalb des Rasters.</translation>
    </message>
    <message>
        <source>Choose an output file.</source>
        <translation>Wählen Sie eine Ausgabedatei.</translation>
    </message>
    <message>
        <source>Choose another CRS.</source>
        <translation>Wählen Sie ein anderes KBS.</translation>
    </message>
    <message>
        <source>Choose another cache folder, or none.</source>
        <translation>Wählen Sie einen anderen Zwischenspeicher-Ordner oder keinen.</translation>
    </message>
    <message>
        <source>Choose another cache folder.</source>
        <translation>Wählen Sie einen anderen Zwischenspeicher-Ordner.</translation>
    </message>
    <message>
        <source>Choose another model, or the device cpu.</source>
        <translation>Wählen Sie ein anderes Modell oder das Gerät cpu.</translation>
    </message>
    <message>
        <source>Choose another model.</source>
        <translation>Wählen Sie ein anderes Modell.</translation>
    </message>
    <message>
        <source>Choose another output file.</source>
        <translation>Wählen Sie eine andere Ausgabedatei.</translation>
    </message>
    <message>
        <source>Choose another output folder.</source>
        <translation>Wählen Sie einen anderen Ausgabeordner.</translation>
    </message>
    <message>
        <source>Choose one or three bands of the raster.</source>
        <translation>Wählen Sie einen oder drei Kanäle des Rasters.</translation>
    </message>
    <message>
        <source>Choose the device cpu or auto.</source>
        <translation>Wählen Sie das Gerät cpu oder auto.</translation>
    </message>
    <message>
        <source>Choose the output layer with the polygon first.</source>
        <translation>Wählen Sie zuerst den Ausgabelayer mit dem Polygon.</translation>
    </message>
    <message>
        <source>Choose to discard the results of the interrupted run, or choose another output file.</source>
        <translation>Verwerfen Sie die Ergebnisse des unterbrochenen Laufs, oder wählen Sie eine andere Ausgabedatei.</translation>
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
        <source>Click an object, or drag a box around it. Alt+click: continue a polygon. Ctrl+Z: undo.</source>
        <translation>Klicken Sie auf ein Objekt, oder ziehen Sie einen Rahmen darum. Alt+Klick: ein Polygon fortsetzen. Strg+Z: rückgängig.</translation>
    </message>
    <message>
        <source>Click: include. Right click: exclude. Enter: accept. Backspace: undo. Esc: clear. G: {granularity}.</source>
        <translation>Klick: gehört dazu. Rechtsklick: gehört nicht dazu. Eingabe: übernehmen. Rücktaste: rückgängig. Esc: verwerfen. G: {granularity}.</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Close the file in the other program, or choose another output file.</source>
        <translation>Schließen Sie die Datei im anderen Programm, oder wählen Sie eine andere Ausgabedatei.</translation>
    </message>
    <message>
        <source>Compare only within</source>
        <translation>Nur innerhalb vergleichen</translation>
    </message>
    <message>
        <source>Compares predicted polygons with reference polygons, one to one: precision and recall of objects, IoU, over- and under-segmentation, and accuracy of outlines.

If the reference is complete only in some areas, choose a layer with these areas: only objects inside them count.</source>
        <translation>Vergleicht vorhergesagte Polygone eins zu eins mit Referenzpolygonen: Genauigkeit und Trefferquote der Objekte, IoU, Über- und Untersegmentierung, Genauigkeit der Umrisse.

Ist die Referenz nur in manchen Gebieten vollständig, wählen Sie einen Layer mit diesen Gebieten: Nur Objekte darin zählen.</translation>
    </message>
    <message>
        <source>Continue with the selected polygon</source>
        <translation>Mit dem gewählten Polygon weitermachen</translation>
    </message>
    <message>
        <source>Conversion of band values to 8 bits: auto, none, MIN,MAX or percentiles such as p2,p98.</source>
        <translation>Umrechnung der Kanalwerte in 8 Bit: auto, none, MIN,MAX oder Perzentile wie p2,p98.</translation>
    </message>
    <message>
        <source>Convert the raster to real numbers with the raster calculator.</source>
        <translation>Rechnen Sie das Raster mit dem Rasterrechner in reelle Zahlen um.</translation>
    </message>
    <message>
        <source>Copy report</source>
        <translation>Bericht kopieren</translation>
    </message>
    <message>
        <source>Correct or delete this feature of the layer.</source>
        <translation>Korrigieren oder löschen Sie dieses Objekt des Layers.</translation>
    </message>
    <message>
        <source>Correct the value. If the field has another meaning, rename it.</source>
        <translation>Korrigieren Sie den Wert. Hat das Feld eine andere Bedeutung, benennen Sie es um.</translation>
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
        <source>Discard the results of an interrupted run</source>
        <translation>Ergebnisse eines unterbrochenen Laufs verwerfen</translation>
    </message>
    <message>
        <source>Done.</source>
        <translation>Fertig.</translation>
    </message>
    <message>
        <source>Draw it again.</source>
        <translation>Zeichnen Sie es noch einmal.</translation>
    </message>
    <message>
        <source>Empty: the default of the model.</source>
        <translation>Leer: der Standardwert des Modells.</translation>
    </message>
    <message>
        <source>Encoding of the prompt layer</source>
        <translation>Zeichenkodierung des Vorgabenlayers</translation>
    </message>
    <message>
        <source>Enlarge the extent, or leave out prompts outside the raster.</source>
        <translation>Vergrößern Sie die Ausdehnung, oder lassen Sie Vorgaben außerhalb des Rasters weg.</translation>
    </message>
    <message>
        <source>Enter auto, none, MIN,MAX or percentiles such as p2,p98.</source>
        <translation>Geben Sie auto, none, MIN,MAX oder Perzentile wie p2,p98 ein.</translation>
    </message>
    <message>
        <source>Enter the source of the packages.</source>
        <translation>Geben Sie die Quelle der Pakete an.</translation>
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
        <source>Export the layer as a GeoPackage, and choose the new layer.</source>
        <translation>Exportieren Sie den Layer als GeoPackage, und wählen Sie den neuen Layer.</translation>
    </message>
    <message>
        <source>Export the layer as a GeoTIFF, and choose the new layer.</source>
        <translation>Exportieren Sie den Layer als GeoTIFF, und wählen Sie den neuen Layer.</translation>
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
        <source>Field label</source>
        <translation>Feld label</translation>
    </message>
    <message>
        <source>Field object_id</source>
        <translation>Feld object_id</translation>
    </message>
    <message>
        <source>Fill holes up to</source>
        <translation>Löcher füllen bis</translation>
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
        <source>Finds all objects of a raster of any size. Each object is one polygon with area, perimeter and score.

The polygons have the CRS of the raster (longitude and latitude in GeoJSON). A cancelled run continues when you start it again with the same output file and the same parameters.</source>
        <translation>Findet alle Objekte eines beliebig großen Rasters. Jedes Objekt ist ein Polygon mit Fläche, Umfang und Bewertung.

Die Polygone haben das KBS des Rasters (in GeoJSON Länge und Breite). Ein abgebrochener Lauf geht weiter, wenn Sie ihn mit derselben Ausgabedatei und denselben Parametern noch einmal starten.</translation>
    </message>
    <message>
        <source>Finds one object for each feature of a layer: the object under a point, or the object inside a polygon. The layer may have any CRS, and you can use only its selected features.

Fields with a meaning: object_id joins several features to one object; label is 1 for points that include and 0 for points that exclude; granularity is the level of detail: auto, part, whole or group. All other fields are copied to the polygons.</source>
        <translation>Findet zu jeder Vorgabe eines Layers ein Objekt: das Objekt unter einem Punkt oder das Objekt in einem Polygon. Der Layer darf jedes KBS haben, und Sie können nur seine gewählten Objekte verwenden.

Felder mit einer Bedeutung: object_id fasst mehrere Vorgaben zu einem Objekt zusammen; label ist 1 für Punkte, die dazugehören, und 0 für Punkte, die nicht dazugehören; granularity ist die Detailstufe: auto, part, whole oder group. Alle anderen Felder werden in die Polygone kopiert.</translation>
    </message>
    <message>
        <source>Finished tiles are kept. Run the algorithm again with the same output to continue from there.</source>
        <translation>Fertige Kacheln bleiben erhalten. Starten Sie den Algorithmus mit derselben Ausgabe noch einmal, um dort weiterzumachen.</translation>
    </message>
    <message>
        <source>Folder of wheels, offline</source>
        <translation>Ordner mit Wheels, ohne Netz</translation>
    </message>
    <message>
        <source>Free some space and start again. Finished tiles are kept.</source>
        <translation>Geben Sie Speicherplatz frei, und starten Sie noch einmal. Fertige Kacheln bleiben erhalten.</translation>
    </message>
    <message>
        <source>Free some space, or choose a folder on another disk.</source>
        <translation>Geben Sie Speicherplatz frei, oder wählen Sie einen Ordner auf einem anderen Datenträger.</translation>
    </message>
    <message>
        <source>Free some space.</source>
        <translation>Geben Sie Speicherplatz frei.</translation>
    </message>
    <message>
        <source>From</source>
        <translation>Von</translation>
    </message>
    <message>
        <source>GeoPackage (*.gpkg)</source>
        <translation>GeoPackage (*.gpkg)</translation>
    </message>
    <message>
        <source>Georeference the raster with the georeferencer of QGIS.</source>
        <translation>Georeferenzieren Sie das Raster mit der Georeferenzierung von QGIS.</translation>
    </message>
    <message>
        <source>Give each of these features its own object_id.</source>
        <translation>Geben Sie jedem dieser Objekte seine eigene object_id.</translation>
    </message>
    <message>
        <source>Give every object its own object_id, or delete some points.</source>
        <translation>Geben Sie jedem Objekt seine eigene object_id, oder löschen Sie einige Punkte.</translation>
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
        <source>Install</source>
        <translation>Installieren</translation>
    </message>
    <message>
        <source>Install one from python.org or docs.astral.sh/uv, or enter its path.</source>
        <translation>Installieren Sie eines von python.org oder docs.astral.sh/uv, oder geben Sie seinen Pfad ein.</translation>
    </message>
    <message>
        <source>Install…</source>
        <translation>Installieren…</translation>
    </message>
    <message>
        <source>Its last message: {}</source>
        <translation>Seine letzte Meldung: {}</translation>
    </message>
    <message>
        <source>JSON files (*.json)</source>
        <translation>JSON-Dateien (*.json)</translation>
    </message>
    <message>
        <source>Keeps the embeddings of the tiles, so that later runs over the same raster are faster.</source>
        <translation>Behält die Einbettungen der Kacheln, damit spätere Läufe über dasselbe Raster schneller sind.</translation>
    </message>
    <message>
        <source>Largest distance of matching outlines. Empty: from the size of the objects.</source>
        <translation>Größter Abstand passender Umrisse. Leer: nach der Größe der Objekte.</translation>
    </message>
    <message>
        <source>Largest distance that an outline may move.</source>
        <translation>Größte Strecke, um die sich ein Umriss verschieben darf.</translation>
    </message>
    <message>
        <source>Last ends of the worker</source>
        <translation>Letzte Enden des Workers</translation>
    </message>
    <message>
        <source>Last output of the worker</source>
        <translation>Letzte Ausgabe des Workers</translation>
    </message>
    <message>
        <source>Layout</source>
        <translation>Anordnung</translation>
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
        <source>Level of detail of a prompt</source>
        <translation>Detailstufe einer Vorgabe</translation>
    </message>
    <message>
        <source>Level of detail of prompts without the field granularity. With auto, the model chooses.</source>
        <translation>Detailstufe von Vorgaben ohne das Feld granularity. Bei auto wählt das Modell.</translation>
    </message>
    <message>
        <source>Making an environment in {} with {}.</source>
        <translation>In {} wird mit {} eine Umgebung angelegt.</translation>
    </message>
    <message>
        <source>Matched objects, at an IoU of {}</source>
        <translation>Passende Objekte, bei einer IoU von {}</translation>
    </message>
    <message>
        <source>Mean IoU</source>
        <translation>Mittlere IoU</translation>
    </message>
    <message>
        <source>Mean IoU of matched objects</source>
        <translation>Mittlere IoU der passenden Objekte</translation>
    </message>
    <message>
        <source>Mean best IoU of reference objects</source>
        <translation>Mittlere beste IoU der Referenzobjekte</translation>
    </message>
    <message>
        <source>Minimum IoU of a match</source>
        <translation>Kleinste IoU eines Paars</translation>
    </message>
    <message>
        <source>Minimum area</source>
        <translation>Mindestfläche</translation>
    </message>
    <message>
        <source>Minimum area (square metres)</source>
        <translation>Mindestfläche (Quadratmeter)</translation>
    </message>
    <message>
        <source>Minimum predicted IoU of a mask</source>
        <translation>Kleinste vorhergesagte IoU einer Maske</translation>
    </message>
    <message>
        <source>Minimum stability of a mask</source>
        <translation>Kleinste Stabilität einer Maske</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Models with weights on this computer: {}.</source>
        <translation>Modelle mit Gewichten auf diesem Computer: {}.</translation>
    </message>
    <message>
        <source>Name of a model, or path of a file with weights.</source>
        <translation>Name eines Modells oder Pfad einer Datei mit Gewichten.</translation>
    </message>
    <message>
        <source>Name of the layer in the file</source>
        <translation>Name des Layers in der Datei</translation>
    </message>
    <message>
        <source>Neither the project nor the raster has a CRS. Set the project's CRS.</source>
        <translation>Weder das Projekt noch das Raster hat ein KBS. Legen Sie das KBS des Projekts fest.</translation>
    </message>
    <message>
        <source>New layer for objects</source>
        <translation>Neuer Layer für Objekte</translation>
    </message>
    <message>
        <source>New layer for the first accepted object</source>
        <translation>Neuer Layer für das erste übernommene Objekt</translation>
    </message>
    <message>
        <source>New…</source>
        <translation>Neu…</translation>
    </message>
    <message>
        <source>No geosam worker was found. Press Diagnose to install or to choose one.</source>
        <translation>Es wurde kein geosam-Worker gefunden. Drücken Sie Diagnose, um einen zu installieren oder zu wählen.</translation>
    </message>
    <message>
        <source>No object was found here. Click elsewhere, or draw a box.</source>
        <translation>Hier wurde kein Objekt gefunden. Klicken Sie woanders hin, oder ziehen Sie einen Rahmen.</translation>
    </message>
    <message>
        <source>No uv and no Python from {}.{} to {}.{} with venv was found. Not usable: {}. </source>
        <translation>Es wurde kein uv und kein Python von {}.{} bis {}.{} mit venv gefunden. Nicht brauchbar: {}. </translation>
    </message>
    <message>
        <source>No worker.</source>
        <translation>Kein Worker.</translation>
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
        <source>Overlap of tiles</source>
        <translation>Überlappung der Kacheln</translation>
    </message>
    <message>
        <source>Overlap of tiles (pixels)</source>
        <translation>Überlappung der Kacheln (Pixel)</translation>
    </message>
    <message>
        <source>Overlap of tiles: found {} pixels, expected less than the tile size ({}).</source>
        <translation>Überlappung der Kacheln: {} Pixel angegeben, weniger als die Kachelgröße ({}) erwartet.</translation>
    </message>
    <message>
        <source>Overlapping: objects may overlap</source>
        <translation>Überlappend: Objekte dürfen sich überlappen</translation>
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
        <source>Path of uv, or of a Python interpreter. Leave it empty to search for one.</source>
        <translation>Pfad von uv oder eines Python-Interpreters. Leer lassen, um einen zu suchen.</translation>
    </message>
    <message>
        <source>Places of the search for a worker</source>
        <translation>Orte der Suche nach einem Worker</translation>
    </message>
    <message>
        <source>Planar: no overlaps</source>
        <translation>Planar: ohne Überlappungen</translation>
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
        <source>Press Diagnose to install a worker for this plugin.</source>
        <translation>Drücken Sie Diagnose, um einen Worker für diese Erweiterung zu installieren.</translation>
    </message>
    <message>
        <source>Press Diagnose to install a worker, or to choose another one.</source>
        <translation>Drücken Sie Diagnose, um einen Worker zu installieren oder einen anderen zu wählen.</translation>
    </message>
    <message>
        <source>Press Diagnose, then Try again; or choose the device cpu.</source>
        <translation>Drücken Sie Diagnose, dann Noch einmal; oder wählen Sie das Gerät cpu.</translation>
    </message>
    <message>
        <source>Press Install or Choose worker.</source>
        <translation>Drücken Sie Installieren oder Worker wählen.</translation>
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
        <source>Prompt layer: {} has no CRS. Set it in the layer's properties.</source>
        <translation>Vorgabenlayer: {} hat kein KBS. Legen Sie es in den Eigenschaften des Layers fest.</translation>
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
        <source>Recent objects (click: show, double click: continue)</source>
        <translation>Letzte Objekte (Klick: zeigen, Doppelklick: fortsetzen)</translation>
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
        <source>Replace the file</source>
        <translation>Die Datei ersetzen</translation>
    </message>
    <message>
        <source>Report</source>
        <translation>Bericht</translation>
    </message>
    <message>
        <source>Reset the CRS of the raster layer in its properties.</source>
        <translation>Setzen Sie das KBS des Rasterlayers in dessen Eigenschaften zurück.</translation>
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
        <source>Run “geosam models download” with the name of the model, or choose another model.</source>
        <translation>Führen Sie „geosam models download“ mit dem Namen des Modells aus, oder wählen Sie ein anderes Modell.</translation>
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
        <source>Segmenting…</source>
        <translation>Segmentiert…</translation>
    </message>
    <message>
        <source>Segmenting… {count} accepted objects are not finished yet.</source>
        <translation>Segmentiert… {count} übernommene Objekte sind noch nicht fertig.</translation>
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
        <source>Set the CRS of the prompt layer in its properties.</source>
        <translation>Legen Sie das KBS des Vorgabenlayers in dessen Eigenschaften fest.</translation>
    </message>
    <message>
        <source>Set the CRS of the raster layer in its properties.</source>
        <translation>Legen Sie das KBS des Rasterlayers in dessen Eigenschaften fest.</translation>
    </message>
    <message>
        <source>Side of a pixel on the ground. Empty: the resolution of the raster.</source>
        <translation>Seite eines Pixels am Boden. Leer: die Auflösung des Rasters.</translation>
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
        <source>Testing the worker.</source>
        <translation>Der Worker wird geprüft.</translation>
    </message>
    <message>
        <source>The CRS of {} is {}, but its file has {}. Reset the CRS of the layer, or assign it to the file.</source>
        <translation>Das KBS von {} ist {}, aber seine Datei hat {}. Setzen Sie das KBS des Layers zurück, oder weisen Sie es der Datei zu.</translation>
    </message>
    <message>
        <source>The environment variable {} still points to another worker.</source>
        <translation>Die Umgebungsvariable {} zeigt noch auf einen anderen Worker.</translation>
    </message>
    <message>
        <source>The extent has no coordinates in the CRS of {}. Zoom in.</source>
        <translation>Die Ausdehnung hat im KBS von {} keine Koordinaten. Zoomen Sie hinein.</translation>
    </message>
    <message>
        <source>The layer {name} cannot be edited. Choose another output layer, or a new one.</source>
        <translation>Der Layer {name} lässt sich nicht bearbeiten. Wählen Sie einen anderen Ausgabelayer, oder einen neuen.</translation>
    </message>
    <message>
        <source>The layer {name} refused the object. Choose another output layer.</source>
        <translation>Der Layer {name} hat das Objekt abgelehnt. Wählen Sie einen anderen Ausgabelayer.</translation>
    </message>
    <message>
        <source>The layer {} shows the output file. Remove the layer, or choose another file.</source>
        <translation>Der Layer {} zeigt die Ausgabedatei. Entfernen Sie den Layer, oder wählen Sie eine andere Datei.</translation>
    </message>
    <message>
        <source>The layer {} shows this file. Remove the layer, or choose another file.</source>
        <translation>Der Layer {} zeigt diese Datei. Entfernen Sie den Layer, oder wählen Sie eine andere Datei.</translation>
    </message>
    <message>
        <source>The model is loading…</source>
        <translation>Das Modell wird geladen…</translation>
    </message>
    <message>
        <source>The new worker does not work. {}</source>
        <translation>Der neue Worker funktioniert nicht. {}</translation>
    </message>
    <message>
        <source>The object has no area in the CRS of {name}. Choose an output layer with another CRS.</source>
        <translation>Das Objekt hat im KBS von {name} keine Fläche. Wählen Sie einen Ausgabelayer mit einem anderen KBS.</translation>
    </message>
    <message>
        <source>The object is too small: {area:.1f} m², expected at least {minimum:g} m². Lower the minimum area.</source>
        <translation>Das Objekt ist zu klein: {area:.1f} m², erwartet sind mindestens {minimum:g} m². Senken Sie die Mindestfläche.</translation>
    </message>
    <message>
        <source>The output cannot be written: {}</source>
        <translation>Die Ausgabe lässt sich nicht schreiben: {}</translation>
    </message>
    <message>
        <source>The output layer has no polygons with prompts.</source>
        <translation>Der Ausgabelayer hat keine Polygone mit Vorgaben.</translation>
    </message>
    <message>
        <source>The output layer was removed. Choose another one, and accept the object again.</source>
        <translation>Der Ausgabelayer wurde entfernt. Wählen Sie einen anderen, und übernehmen Sie das Objekt noch einmal.</translation>
    </message>
    <message>
        <source>The part of the raster to segment. Empty: the whole raster.</source>
        <translation>Der Teil des Rasters, der segmentiert wird. Leer: das ganze Raster.</translation>
    </message>
    <message>
        <source>The picture could not be written: {}. Check the disk.</source>
        <translation>Das Bild konnte nicht geschrieben werden: {}. Prüfen Sie den Datenträger.</translation>
    </message>
    <message>
        <source>The picture is too large: {} x {} pixels, at most {} million. Zoom in, or choose a coarser resolution.</source>
        <translation>Das Bild ist zu groß: {} x {} Pixel, höchstens {} Millionen. Zoomen Sie hinein, oder wählen Sie eine gröbere Auflösung.</translation>
    </message>
    <message>
        <source>The prompts of {count} objects were written to {path}.</source>
        <translation>Die Vorgaben von {count} Objekten wurden in {path} geschrieben.</translation>
    </message>
    <message>
        <source>The report cannot be written: {}</source>
        <translation>Der Bericht lässt sich nicht schreiben: {}</translation>
    </message>
    <message>
        <source>The server sent no data for this view. Check the connection, or zoom to a place with data.</source>
        <translation>Der Server hat für diese Ansicht keine Daten geliefert. Prüfen Sie die Verbindung, oder zoomen Sie zu einem Ort mit Daten.</translation>
    </message>
    <message>
        <source>The worker</source>
        <translation>Der Worker</translation>
    </message>
    <message>
        <source>The worker crashed ({}). Its output is in the message log, on the tab geosam.</source>
        <translation>Der Worker ist abgestürzt ({}). Seine Ausgabe steht im Protokoll, im Reiter geosam.</translation>
    </message>
    <message>
        <source>The worker ended with exit code {}.</source>
        <translation>Der Worker endete mit Code {}.</translation>
    </message>
    <message>
        <source>The worker ended {} times within a minute. Press Diagnose, then Try again to start it once more. {}</source>
        <translation>Der Worker endete {}-mal in einer Minute. Drücken Sie Diagnose, dann Noch einmal, um ihn wieder zu starten. {}</translation>
    </message>
    <message>
        <source>The worker has not answered yet.</source>
        <translation>Der Worker hat noch nicht geantwortet.</translation>
    </message>
    <message>
        <source>The worker is busy. Try again in a moment.</source>
        <translation>Der Worker ist beschäftigt. Versuchen Sie es gleich noch einmal.</translation>
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
        <source>The worker runs: geosam {}, protocol {}.</source>
        <translation>Der Worker läuft: geosam {}, Protokoll {}.</translation>
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
        <source>The worker {} uses protocol {}, this plugin uses protocol {}.</source>
        <translation>Der Worker {} benutzt Protokoll {}, diese Erweiterung benutzt Protokoll {}.</translation>
    </message>
    <message>
        <source>The worker, the program geosam, was not found. Press Diagnose in the panel of the plugin to install it. Without a panel, run “uv tool install geosam-toolkit”, or set the environment variable GEOSAM_WORKER.</source>
        <translation>Der Worker, das Programm geosam, wurde nicht gefunden. Drücken Sie Diagnose im Bedienfeld der Erweiterung, um ihn zu installieren. Ohne Bedienfeld führen Sie „uv tool install geosam-toolkit“ aus, oder setzen Sie die Umgebungsvariable GEOSAM_WORKER.</translation>
    </message>
    <message>
        <source>There is no polygon of {name} here.</source>
        <translation>Hier ist kein Polygon von {name}.</translation>
    </message>
    <message>
        <source>There is no worker at {}, the path in the settings.</source>
        <translation>Bei {}, dem Pfad in den Einstellungen, ist kein Worker.</translation>
    </message>
    <message>
        <source>This object is not in its layer any more. It continues as a new object.</source>
        <translation>Dieses Objekt ist nicht mehr in seinem Layer. Es wird als neues Objekt fortgesetzt.</translation>
    </message>
    <message>
        <source>This place has coordinates in {source}, but none in {target}. Choose another CRS.</source>
        <translation>Dieser Ort hat Koordinaten in {source}, aber keine in {target}. Wählen Sie ein anderes KBS.</translation>
    </message>
    <message>
        <source>Three bands as red, green and blue, or one as grey. Empty: by the colours in the file.</source>
        <translation>Drei Kanäle als Rot, Grün und Blau, oder einer als Grau. Leer: nach den Farben in der Datei.</translation>
    </message>
    <message>
        <source>Tile size</source>
        <translation>Kachelgröße</translation>
    </message>
    <message>
        <source>Tile size (pixels)</source>
        <translation>Kachelgröße (Pixel)</translation>
    </message>
    <message>
        <source>Tolerance of outlines</source>
        <translation>Toleranz der Umrisse</translation>
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
        <source>Wait until the other run is done, or choose another output file.</source>
        <translation>Warten Sie, bis der andere Lauf fertig ist, oder wählen Sie eine andere Ausgabedatei.</translation>
    </message>
    <message>
        <source>Wheel file</source>
        <translation>Wheel-Datei</translation>
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
        <source>as the raster</source>
        <translation>wie das Raster</translation>
    </message>
    <message>
        <source>automatic</source>
        <translation>automatisch</translation>
    </message>
    <message>
        <source>box: the object in its bounding box</source>
        <translation>Rahmen: das Objekt in seinem umgebenden Rechteck</translation>
    </message>
    <message>
        <source>enter one</source>
        <translation>eine eingeben</translation>
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
        <source>geosam and its libraries are installed in an environment of their own, in {}. </source>
        <translation>geosam und seine Bibliotheken werden in einer eigenen Umgebung installiert, in {}. </translation>
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
        <source>mask: the object with about this outline</source>
        <translation>Maske: das Objekt mit ungefähr diesem Umriss</translation>
    </message>
    <message>
        <source>none</source>
        <translation>keine</translation>
    </message>
    <message>
        <source>overlapping: objects may overlap</source>
        <translation>überlappend: Objekte dürfen sich überlappen</translation>
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
        <source>signal {} {}; the system sends it when memory runs out</source>
        <translation>Signal {} {}; das System sendet es, wenn der Speicher ausgeht</translation>
    </message>
    <message>
        <source>the file has no layer</source>
        <translation>die Datei hat keinen Layer</translation>
    </message>
    <message>
        <source>the plugin's own environment</source>
        <translation>die eigene Umgebung der Erweiterung</translation>
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
        <source>{:.1f} GB are free in {}, about {:.1f} GB may be necessary.</source>
        <translation>{:.1f} GB sind in {} frei, etwa {:.1f} GB können nötig sein.</translation>
    </message>
    <message>
        <source>{:.1f} GB are free in {}.</source>
        <translation>{:.1f} GB sind in {} frei.</translation>
    </message>
    <message>
        <source>{about}. It has no weights on this computer: run “geosam models download {name}”.</source>
        <translation>{about}. Auf diesem Computer sind keine Gewichte dafür: Führen Sie „geosam models download {name}“ aus.</translation>
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
        <source>{path} exists. Choose another name, or choose the layer of that file as the output layer.</source>
        <translation>{path} gibt es schon. Wählen Sie einen anderen Namen, oder den Layer dieser Datei als Ausgabelayer.</translation>
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
        <source>{} Enter a resolution for its picture.</source>
        <translation>{} Geben Sie eine Auflösung für sein Bild ein.</translation>
    </message>
    <message>
        <source>{} Enter a resolution.</source>
        <translation>{} Geben Sie eine Auflösung ein.</translation>
    </message>
    <message>
        <source>{} QGIS saves a picture of it first.</source>
        <translation>{} QGIS speichert zuerst ein Bild davon.</translation>
    </message>
    <message>
        <source>{} cannot be read. Check the layer's source.</source>
        <translation>{} lässt sich nicht lesen. Prüfen Sie die Quelle des Layers.</translation>
    </message>
    <message>
        <source>{} comes from a service, not from a file.</source>
        <translation>{} kommt von einem Dienst, nicht aus einer Datei.</translation>
    </message>
    <message>
        <source>{} could not be removed. It is not used.</source>
        <translation>{} ließ sich nicht entfernen. Es wird nicht benutzt.</translation>
    </message>
    <message>
        <source>{} does not answer like a geosam worker: {}.</source>
        <translation>{} antwortet nicht wie ein geosam-Worker: {}.</translation>
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
        <source>{} has no data here.</source>
        <translation>{} hat hier keine Daten.</translation>
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
        <source>{} is not a geosam program, a Python interpreter or an environment.</source>
        <translation>{} ist kein geosam-Programm, kein Python-Interpreter und keine Umgebung.</translation>
    </message>
    <message>
        <source>{} is part of another file, is inside an archive, or has options to open it. Save it as a GeoTIFF.</source>
        <translation>{} ist Teil einer anderen Datei, liegt in einem Archiv oder wird mit Optionen geöffnet. Speichern Sie es als GeoTIFF.</translation>
    </message>
    <message>
        <source>{} is too old for this plugin: it has no worker.</source>
        <translation>{} ist zu alt für diese Erweiterung: Es hat keinen Worker.</translation>
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
        <source>{} was cancelled after {} objects. Start it again with the same file to continue from there.</source>
        <translation>{} wurde nach {} Objekten abgebrochen. Starten Sie mit derselben Datei noch einmal, um dort weiterzumachen.</translation>
    </message>
    <message>
        <source>{} was cancelled.</source>
        <translation>{} wurde abgebrochen.</translation>
    </message>
    <message>
        <source>“{}”</source>
        <translation>„{}“</translation>
    </message>
</context>
</TS>
